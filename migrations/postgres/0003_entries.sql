-- Registration entries. Every process holds all of them in memory and answers questions from there, so that no statement
-- asks about a part of one: what an entry says is one JSON text. `grants` is a digest of identity, parent and selectors,
-- which no two entries share. Times are nanoseconds since 1970-01-01T00:00:00Z.
CREATE TABLE entries (
    trust_domain TEXT   NOT NULL,
    id           TEXT   NOT NULL,
    grants       TEXT   NOT NULL,
    terms        TEXT   NOT NULL,
    revision     BIGINT NOT NULL,
    created_at   BIGINT NOT NULL,
    source       TEXT   NOT NULL CHECK (source IN ('config', 'api')),
    rank         BIGINT NOT NULL,
    PRIMARY KEY (trust_domain, id),
    UNIQUE (trust_domain, grants)
);

-- The number of the last change to a trust domain's entries. Whoever writes takes this row first, so that changes are
-- numbered in the order in which they are committed. Changes up to `pruned` are no longer in the log.
CREATE TABLE entry_sequences (
    trust_domain TEXT   NOT NULL PRIMARY KEY,
    sequence     BIGINT NOT NULL CHECK (sequence > 0),
    pruned       BIGINT NOT NULL DEFAULT 0
);

-- Which entry each change concerned.
CREATE TABLE entry_changes (
    trust_domain TEXT   NOT NULL,
    sequence     BIGINT NOT NULL,
    id           TEXT   NOT NULL,
    PRIMARY KEY (trust_domain, sequence)
);

-- Tells every process that listens, once a change is committed.
CREATE FUNCTION notify_entries() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('entries_changed', '');
    RETURN NULL;
END
$$;

CREATE TRIGGER notify_entries AFTER INSERT OR UPDATE ON entry_sequences
    FOR EACH STATEMENT EXECUTE FUNCTION notify_entries();
