-- Kinds of associations are data.
CREATE TABLE cmdb_kinds (
    name TEXT PRIMARY KEY,
    version BIGINT NOT NULL,
    builtin BIGINT NOT NULL,
    spec {{json}} NOT NULL,
    updated_at BIGINT NOT NULL
);
ALTER TABLE cmdb_associations ADD COLUMN attributes {{json}};
-- Set where a kind lets an end have one link only: the database holds it, however many write at once.
ALTER TABLE cmdb_associations ADD COLUMN one_from TEXT;
ALTER TABLE cmdb_associations ADD COLUMN one_to TEXT;
UPDATE cmdb_associations SET one_from = kind || '/' || from_id
    WHERE kind = 'runs_on' AND id IN (SELECT MIN(id) FROM cmdb_associations WHERE kind = 'runs_on' GROUP BY from_id);
CREATE UNIQUE INDEX cmdb_associations_one_from ON cmdb_associations(one_from);
CREATE UNIQUE INDEX cmdb_associations_one_to ON cmdb_associations(one_to);
CREATE INDEX cmdb_associations_kind ON cmdb_associations(kind, id);
-- Links of a deleted record that come back with it.
CREATE TABLE cmdb_kept_associations (
    id TEXT PRIMARY KEY,
    kind TEXT NOT NULL,
    from_model TEXT NOT NULL,
    from_id TEXT NOT NULL,
    to_model TEXT NOT NULL,
    to_id TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    created_by TEXT NOT NULL,
    attributes {{json}}
);
CREATE INDEX cmdb_kept_associations_from ON cmdb_kept_associations(from_id);
CREATE INDEX cmdb_kept_associations_to ON cmdb_kept_associations(to_id);
