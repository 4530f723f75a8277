-- Entities for Portcullis in PostgreSQL 11 or later. Write to portcullis_entities as you like, also from other programs:
-- the triggers number each statement that changed something, write down which entities, and tell Portcullis.
--
-- Portcullis itself only reads: GRANT SELECT ON portcullis_entities, portcullis_entity_changes,
-- portcullis_entity_sequence TO its role.

CREATE TABLE portcullis_entities (
    type    text  NOT NULL,
    id      text  NOT NULL,
    attrs   jsonb NOT NULL DEFAULT '{}',
    tags    jsonb NOT NULL DEFAULT '{}',
    parents jsonb NOT NULL DEFAULT '[]',
    PRIMARY KEY (type, id)
);

-- The number of the last change. Whoever changes entities holds its row until the end of the transaction, so numbers
-- become visible in their order and none is skipped.
CREATE TABLE portcullis_entity_sequence (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    sequence bigint  NOT NULL
);
INSERT INTO portcullis_entity_sequence (sequence) VALUES (0);

-- Which entities each change concerned. Old rows may be deleted at any time: a Portcullis that has not read them yet
-- reads everything once.
CREATE TABLE portcullis_entity_changes (
    sequence bigint NOT NULL,
    type     text   NOT NULL,
    id       text   NOT NULL
);
CREATE INDEX portcullis_entity_changes_by_sequence ON portcullis_entity_changes (sequence);

CREATE FUNCTION portcullis_entities_changed() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    changed boolean;
    number  bigint;
BEGIN
    IF TG_OP = 'INSERT' OR TG_OP = 'UPDATE' THEN
        SELECT EXISTS (SELECT 1 FROM new_rows) INTO changed;
    ELSIF TG_OP = 'DELETE' THEN
        SELECT EXISTS (SELECT 1 FROM old_rows) INTO changed;
    ELSE
        changed := true;
    END IF;
    IF NOT changed THEN
        RETURN NULL;
    END IF;
    UPDATE portcullis_entity_sequence SET sequence = sequence + 1 RETURNING sequence INTO number;
    IF TG_OP = 'UPDATE' OR TG_OP = 'DELETE' THEN
        INSERT INTO portcullis_entity_changes SELECT number, type, id FROM old_rows;
    END IF;
    IF TG_OP = 'INSERT' OR TG_OP = 'UPDATE' THEN
        INSERT INTO portcullis_entity_changes SELECT number, type, id FROM new_rows;
    END IF;
    -- After TRUNCATE no row has the number, so everything is read again.
    PERFORM pg_notify('portcullis_entities', '');
    RETURN NULL;
END $$;

CREATE TRIGGER portcullis_entities_inserted AFTER INSERT ON portcullis_entities
    REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION portcullis_entities_changed();
CREATE TRIGGER portcullis_entities_updated AFTER UPDATE ON portcullis_entities
    REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION portcullis_entities_changed();
CREATE TRIGGER portcullis_entities_deleted AFTER DELETE ON portcullis_entities
    REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION portcullis_entities_changed();
CREATE TRIGGER portcullis_entities_truncated AFTER TRUNCATE ON portcullis_entities
    FOR EACH STATEMENT EXECUTE FUNCTION portcullis_entities_changed();
