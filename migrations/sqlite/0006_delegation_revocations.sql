-- Delegated tokens, and members of their chains, that count no more. Times are nanoseconds since 1970-01-01T00:00:00Z.
CREATE TABLE delegation_revocations (
    trust_domain TEXT    NOT NULL,
    kind         TEXT    NOT NULL CHECK (kind IN ('token', 'member')),
    name         TEXT    NOT NULL,
    -- Who gave the name; '' if that does not matter.
    issuer       TEXT    NOT NULL,
    revoked_at   INTEGER NOT NULL,
    -- NULL: until it is taken back.
    ends_at      INTEGER,
    PRIMARY KEY (trust_domain, kind, name, issuer)
) STRICT, WITHOUT ROWID;

-- Counts the changes to them. It only ever rises.
CREATE TABLE delegation_sequences (
    trust_domain TEXT    NOT NULL PRIMARY KEY,
    sequence     INTEGER NOT NULL CHECK (sequence > 0)
) STRICT;
