-- The authorities that we made; one that has expired stays, with the time when it left the bundle.
-- Times are nanoseconds since 1970-01-01T00:00:00Z.
CREATE TABLE authorities (
    id           TEXT    NOT NULL PRIMARY KEY,
    trust_domain TEXT    NOT NULL,
    certificate  BLOB    NOT NULL,
    created_at   INTEGER NOT NULL,
    retired_at   INTEGER
) STRICT;

CREATE INDEX authorities_in_bundle ON authorities (trust_domain, created_at, id) WHERE retired_at IS NULL;

-- `spiffe_sequence` of each trust domain's bundle. It only ever rises.
CREATE TABLE bundle_sequences (
    trust_domain TEXT    NOT NULL PRIMARY KEY,
    sequence     INTEGER NOT NULL CHECK (sequence > 0)
) STRICT;
