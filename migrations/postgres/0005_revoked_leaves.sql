-- X.509-SVIDs that were revoked, by the serial number that their authority gave them, until the authority leaves the bundle.
CREATE TABLE revoked_leaves (
    trust_domain TEXT   NOT NULL,
    authority    TEXT   NOT NULL,
    serial       BYTEA  NOT NULL,
    revoked_at   BIGINT NOT NULL,
    PRIMARY KEY (trust_domain, authority, serial)
);
