-- Tokens that are good for one use and were used, each until it is refused anyway. Times are nanoseconds since 1970-01-01T00:00:00Z.
CREATE TABLE used_tokens (
    trust_domain TEXT    NOT NULL,
    -- SHA-256 of who issued it and its name.
    digest       BLOB    NOT NULL CHECK (length(digest) = 32),
    ends_at      INTEGER NOT NULL,
    PRIMARY KEY (trust_domain, digest)
) STRICT, WITHOUT ROWID;

CREATE INDEX used_tokens_by_end ON used_tokens (ends_at);
