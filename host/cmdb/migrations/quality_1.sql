-- What is known of sources beyond the defaults: how long their word counts, what becomes of records that they no longer have.
CREATE TABLE cmdb_sources (
    name TEXT PRIMARY KEY,
    spec {{json}} NOT NULL,
    updated_at BIGINT NOT NULL
);
-- Which source's word counts, by model and attribute; `*` is any.
CREATE TABLE cmdb_precedence (
    model TEXT NOT NULL,
    attribute TEXT NOT NULL,
    ranks {{json}} NOT NULL,
    updated_at BIGINT NOT NULL,
    PRIMARY KEY (model, attribute)
);
-- What each source says of a record. `claims` is by attribute: {"at": time} where the record holds this source's value, {"at", "value"} where
-- another source's counts, so that no value is stored twice.
CREATE TABLE cmdb_claims (
    record TEXT NOT NULL,
    source TEXT NOT NULL,
    model TEXT NOT NULL,
    external_id TEXT,
    claims {{json}} NOT NULL,
    digest TEXT,
    first_seen BIGINT NOT NULL,
    last_seen BIGINT NOT NULL,
    vanished_at BIGINT,
    PRIMARY KEY (record, source)
);
CREATE UNIQUE INDEX cmdb_claims_external ON cmdb_claims(source, model, external_id);
CREATE INDEX cmdb_claims_seen ON cmdb_claims(source, last_seen);
CREATE INDEX cmdb_claims_vanished ON cmdb_claims(source, vanished_at);
CREATE INDEX cmdb_claims_model ON cmdb_claims(model, record);
-- Records of sources that a person has to decide on.
CREATE TABLE cmdb_reviews (
    id TEXT PRIMARY KEY,
    source TEXT NOT NULL,
    model TEXT NOT NULL,
    identity TEXT NOT NULL,
    external_id TEXT,
    attributes {{json}} NOT NULL,
    reason TEXT NOT NULL,
    candidates {{json}} NOT NULL,
    state TEXT NOT NULL,
    record TEXT,
    note TEXT,
    decided_by TEXT,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    UNIQUE (source, model, identity)
);
CREATE INDEX cmdb_reviews_state ON cmdb_reviews(state, id);
-- Work that goes on in the background, and where it is.
CREATE TABLE cmdb_quality_work (
    name TEXT PRIMARY KEY,
    value {{json}} NOT NULL
);
