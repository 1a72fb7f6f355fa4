CREATE TABLE cmdb_models (
    name TEXT PRIMARY KEY,
    version BIGINT NOT NULL,
    builtin BIGINT NOT NULL,
    spec {{json}} NOT NULL,
    updated_at BIGINT NOT NULL
);
CREATE TABLE cmdb_associations (
    id TEXT PRIMARY KEY,
    kind TEXT NOT NULL,
    from_model TEXT NOT NULL,
    from_id TEXT NOT NULL,
    to_model TEXT NOT NULL,
    to_id TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    created_by TEXT NOT NULL,
    UNIQUE (kind, from_id, to_id)
);
CREATE INDEX cmdb_associations_from ON cmdb_associations(from_id);
CREATE INDEX cmdb_associations_to ON cmdb_associations(to_id);
