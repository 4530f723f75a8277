-- Two kinds of authorities, and which place each holds: prepared, active or old. Without dates of its own one is prepared;
-- one that was activated is active, until it is superseded.
ALTER TABLE authorities RENAME COLUMN certificate TO public;
ALTER TABLE authorities ADD COLUMN kind TEXT NOT NULL DEFAULT 'x509';
-- Of an authority that signs JWT-SVIDs; a certificate says it itself.
ALTER TABLE authorities ADD COLUMN expires_at INTEGER;
ALTER TABLE authorities ADD COLUMN activated_at INTEGER;
ALTER TABLE authorities ADD COLUMN superseded_at INTEGER;
ALTER TABLE authorities ADD COLUMN tainted_at INTEGER;

-- Until now who signs followed from the dates: the newest one from five sixths of the life of the one before it on. So the
-- newest of several is prepared, or is activated by the next maintenance; the one before it is active, all others are old.
UPDATE authorities SET
    activated_at = CASE WHEN younger = 0 AND older > 0 THEN NULL ELSE created_at END,
    superseded_at = CASE WHEN younger > 1 THEN successor_at END
FROM (
    SELECT
        id AS ranked_id,
        COUNT(*) OVER everyone - ROW_NUMBER() OVER by_age AS younger,
        ROW_NUMBER() OVER by_age - 1 AS older,
        LEAD(created_at) OVER by_age AS successor_at
    FROM authorities
    WHERE retired_at IS NULL
    WINDOW everyone AS (PARTITION BY trust_domain), by_age AS (PARTITION BY trust_domain ORDER BY created_at, id)
) AS ranked
WHERE id = ranked_id;

CREATE UNIQUE INDEX authorities_prepared ON authorities (trust_domain, kind)
    WHERE retired_at IS NULL AND activated_at IS NULL;

CREATE UNIQUE INDEX authorities_active ON authorities (trust_domain, kind)
    WHERE retired_at IS NULL AND activated_at IS NOT NULL AND superseded_at IS NULL;
