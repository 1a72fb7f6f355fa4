-- Which models are linked by which kinds, and links as filters and expansions follow them. Ids are compared by bytes, as in the records' tables.
CREATE INDEX cmdb_associations_shape ON cmdb_associations(kind, from_model, to_model);
CREATE INDEX cmdb_associations_out ON cmdb_associations(from_id{{bytes}}, kind, to_model, to_id);
CREATE INDEX cmdb_associations_in ON cmdb_associations(to_id{{bytes}}, kind, from_model, from_id);
-- Records that are named: what belongs to a group is what its filter matches at the moment of asking.
CREATE TABLE cmdb_groups (
    name TEXT PRIMARY KEY,
    version BIGINT NOT NULL,
    title {{json}} NOT NULL,
    model TEXT NOT NULL,
    filter TEXT NOT NULL,
    updated_at BIGINT NOT NULL,
    updated_by TEXT NOT NULL
);
CREATE INDEX cmdb_groups_model ON cmdb_groups(model);
-- Filters that a person keeps, for themselves or for all.
CREATE TABLE cmdb_filters (
    id TEXT PRIMARY KEY,
    owner TEXT NOT NULL,
    owner_name TEXT NOT NULL,
    model TEXT NOT NULL,
    name TEXT NOT NULL,
    filter TEXT NOT NULL,
    shared BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    UNIQUE (owner, model, name)
);
CREATE INDEX cmdb_filters_model ON cmdb_filters(model, shared);
