-- Entities for Portcullis in SQLite 3.38 or later. Write to portcullis_entities as you like, also from other programs: the
-- triggers number each change and write down which entity it concerned; Portcullis sees that the file changed.
--
-- Portcullis itself only reads.

PRAGMA journal_mode = WAL;

CREATE TABLE portcullis_entities (
    type    TEXT NOT NULL,
    id      TEXT NOT NULL,
    attrs   TEXT NOT NULL DEFAULT '{}' CHECK (json_valid(attrs)),
    tags    TEXT NOT NULL DEFAULT '{}' CHECK (json_valid(tags)),
    parents TEXT NOT NULL DEFAULT '[]' CHECK (json_valid(parents)),
    PRIMARY KEY (type, id)
) STRICT;

-- The number of the last change.
CREATE TABLE portcullis_entity_sequence (
    only_row INTEGER PRIMARY KEY DEFAULT 1 CHECK (only_row = 1),
    sequence INTEGER NOT NULL
) STRICT;
INSERT INTO portcullis_entity_sequence (sequence) VALUES (0);

-- Which entity each change concerned. Old rows may be deleted at any time: a Portcullis that has not read them yet reads
-- everything once.
CREATE TABLE portcullis_entity_changes (
    sequence INTEGER NOT NULL,
    type     TEXT NOT NULL,
    id       TEXT NOT NULL
) STRICT;
CREATE INDEX portcullis_entity_changes_by_sequence ON portcullis_entity_changes (sequence);

CREATE TRIGGER portcullis_entities_inserted AFTER INSERT ON portcullis_entities BEGIN
    UPDATE portcullis_entity_sequence SET sequence = sequence + 1;
    INSERT INTO portcullis_entity_changes SELECT sequence, NEW.type, NEW.id FROM portcullis_entity_sequence;
END;
CREATE TRIGGER portcullis_entities_updated AFTER UPDATE ON portcullis_entities BEGIN
    UPDATE portcullis_entity_sequence SET sequence = sequence + 1;
    INSERT INTO portcullis_entity_changes SELECT sequence, OLD.type, OLD.id FROM portcullis_entity_sequence;
    INSERT INTO portcullis_entity_changes SELECT sequence, NEW.type, NEW.id FROM portcullis_entity_sequence;
END;
CREATE TRIGGER portcullis_entities_deleted AFTER DELETE ON portcullis_entities BEGIN
    UPDATE portcullis_entity_sequence SET sequence = sequence + 1;
    INSERT INTO portcullis_entity_changes SELECT sequence, OLD.type, OLD.id FROM portcullis_entity_sequence;
END;
