-- The bundles of the trust domains that `trust_domain` federates with. One is read and written whole, so it is one
-- document; src/store/federation.rs has its members.
CREATE TABLE federated_bundles (
    trust_domain   TEXT NOT NULL,
    foreign_domain TEXT NOT NULL,
    bundle         TEXT NOT NULL,
    PRIMARY KEY (trust_domain, foreign_domain)
) STRICT;

-- Where those bundles are to be fetched from, and how who serves them proves who it is.
CREATE TABLE federation_relationships (
    trust_domain       TEXT NOT NULL,
    foreign_domain     TEXT NOT NULL,
    endpoint_url       TEXT NOT NULL,
    -- NULL: by a certificate of the Web's authorities (https_web); else this is whom its SVID must name (https_spiffe).
    endpoint_spiffe_id TEXT,
    PRIMARY KEY (trust_domain, foreign_domain)
) STRICT;

-- Counts the changes to both. It only ever rises.
CREATE TABLE federation_sequences (
    trust_domain TEXT    NOT NULL PRIMARY KEY,
    sequence     INTEGER NOT NULL CHECK (sequence > 0)
) STRICT;

-- Tokens to join with, as their SHA-256 digests: who reads the database, or a copy of it, can't join with what is there.
-- Times are nanoseconds since 1970-01-01T00:00:00Z.
CREATE TABLE join_tokens (
    trust_domain TEXT    NOT NULL,
    digest       BLOB    NOT NULL,
    expires_at   INTEGER NOT NULL,
    used_at      INTEGER,
    PRIMARY KEY (trust_domain, digest)
) STRICT;

CREATE INDEX join_tokens_expiry ON join_tokens (expires_at);
