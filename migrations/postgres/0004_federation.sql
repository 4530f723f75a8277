-- The bundles of the trust domains that `trust_domain` federates with. One is read and written whole, so it is one
-- document; src/store/federation.rs has its members.
CREATE TABLE federated_bundles (
    trust_domain   TEXT NOT NULL,
    foreign_domain TEXT NOT NULL,
    bundle         TEXT NOT NULL,
    PRIMARY KEY (trust_domain, foreign_domain)
);

-- Where those bundles are to be fetched from, and how who serves them proves who it is.
CREATE TABLE federation_relationships (
    trust_domain       TEXT NOT NULL,
    foreign_domain     TEXT NOT NULL,
    endpoint_url       TEXT NOT NULL,
    -- NULL: by a certificate of the Web's authorities (https_web); else this is whom its SVID must name (https_spiffe).
    endpoint_spiffe_id TEXT,
    PRIMARY KEY (trust_domain, foreign_domain)
);

-- Counts the changes to both. It only ever rises.
CREATE TABLE federation_sequences (
    trust_domain TEXT   NOT NULL PRIMARY KEY,
    sequence     BIGINT NOT NULL CHECK (sequence > 0)
);

-- Tokens to join with, as their SHA-256 digests: who reads the database, or a copy of it, can't join with what is there.
-- Times are nanoseconds since 1970-01-01T00:00:00Z.
CREATE TABLE join_tokens (
    trust_domain TEXT   NOT NULL,
    digest       BYTEA  NOT NULL,
    expires_at   BIGINT NOT NULL,
    used_at      BIGINT,
    PRIMARY KEY (trust_domain, digest)
);

CREATE INDEX join_tokens_expiry ON join_tokens (expires_at);

-- Tells every process that listens, once a change is committed.
CREATE FUNCTION notify_federation() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('federation_changed', '');
    RETURN NULL;
END
$$;

CREATE TRIGGER federation_changed AFTER INSERT OR UPDATE ON federation_sequences
    FOR EACH STATEMENT EXECUTE FUNCTION notify_federation();
