-- Values of secret attributes, sealed. They stand in no record, so that no list, filter, export, history or event can have them.
CREATE TABLE cmdb_secrets (
    model TEXT NOT NULL,
    record TEXT{{bytes}} NOT NULL,
    attribute TEXT NOT NULL,
    sealed TEXT NOT NULL,
    set_by TEXT NOT NULL,
    set_at BIGINT NOT NULL,
    PRIMARY KEY (record, attribute)
);
CREATE INDEX cmdb_secrets_model ON cmdb_secrets(model, attribute);
