CREATE TABLE events (
    seq {{serial}},
    id TEXT NOT NULL UNIQUE,
    kind TEXT NOT NULL,
    source TEXT NOT NULL,
    subject TEXT NOT NULL,
    time BIGINT NOT NULL,
    data {{json}} NOT NULL
);
CREATE INDEX events_time ON events(time);
CREATE TABLE event_cursors (
    name TEXT PRIMARY KEY,
    seq BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);
-- The documents of a collection live in a table of their own, so that its expression indexes and statistics are its own.
CREATE TABLE collections (
    name TEXT PRIMARY KEY,
    table_name TEXT NOT NULL UNIQUE,
    spec {{json}} NOT NULL,
    created_at BIGINT NOT NULL
);
CREATE TABLE document_history (
    seq {{serial}},
    collection TEXT NOT NULL,
    document TEXT NOT NULL,
    version BIGINT NOT NULL,
    at BIGINT NOT NULL,
    actor TEXT NOT NULL,
    why TEXT,
    before {{json}},
    after {{json}}
);
CREATE INDEX document_history_document ON document_history(collection, document, seq);
