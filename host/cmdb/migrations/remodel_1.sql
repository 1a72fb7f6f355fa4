-- Changes of models: what they would do to the records, and how far they are.
CREATE TABLE cmdb_model_changes (
    id TEXT PRIMARY KEY,
    model TEXT NOT NULL,
    state TEXT NOT NULL,
    dry_run BIGINT NOT NULL,
    spec {{json}} NOT NULL,
    report {{json}} NOT NULL,
    position TEXT NOT NULL,
    started_by TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    finished_at BIGINT,
    error TEXT
);
CREATE INDEX cmdb_model_changes_state ON cmdb_model_changes(state, id);
CREATE INDEX cmdb_model_changes_model ON cmdb_model_changes(model, id);
-- Attributes that a model no longer has, and what their values were when they went: they can come back.
CREATE TABLE cmdb_removed_attributes (
    model TEXT NOT NULL,
    attribute TEXT NOT NULL,
    spec {{json}} NOT NULL,
    removed_by TEXT NOT NULL,
    removed_at BIGINT NOT NULL,
    change_id TEXT NOT NULL,
    PRIMARY KEY (model, attribute)
);
CREATE TABLE cmdb_removed_values (
    change_id TEXT NOT NULL,
    attribute TEXT NOT NULL,
    record TEXT{{bytes}} NOT NULL,
    value {{json}} NOT NULL,
    PRIMARY KEY (change_id, attribute, record)
);
