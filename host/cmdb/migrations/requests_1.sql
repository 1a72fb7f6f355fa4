-- Which changes of records need the word of others before they are made.
CREATE TABLE cmdb_change_rules (
    name TEXT PRIMARY KEY,
    spec {{json}} NOT NULL,
    updated_by TEXT NOT NULL,
    updated_at BIGINT NOT NULL
);
-- Changes that were asked for. What is approved is what runs: `hash` is over what is asked and the versions of the records.
CREATE TABLE cmdb_change_requests (
    id TEXT PRIMARY KEY,
    state TEXT NOT NULL,
    title TEXT NOT NULL,
    spec {{json}} NOT NULL,
    hash TEXT NOT NULL,
    actor {{json}} NOT NULL,
    requested_by TEXT NOT NULL,
    request_key TEXT UNIQUE,
    run TEXT,
    error TEXT,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);
CREATE INDEX cmdb_change_requests_state ON cmdb_change_requests(state, id);
CREATE TABLE cmdb_change_votes (
    request TEXT NOT NULL,
    rule TEXT NOT NULL,
    voter TEXT NOT NULL,
    approve BIGINT NOT NULL,
    comment TEXT,
    hash TEXT NOT NULL,
    at BIGINT NOT NULL,
    PRIMARY KEY (request, rule)
);
-- Which records a request is about, those that it made among them.
CREATE TABLE cmdb_change_records (
    request TEXT NOT NULL,
    record TEXT NOT NULL,
    PRIMARY KEY (request, record)
);
CREATE INDEX cmdb_change_records_record ON cmdb_change_records(record, request);
