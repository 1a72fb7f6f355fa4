CREATE TABLE plugins (
    id TEXT PRIMARY KEY,
    version TEXT NOT NULL,
    digest TEXT NOT NULL,
    status TEXT NOT NULL,
    status_reason TEXT,
    granted {{json}} NOT NULL,
    settings {{json}} NOT NULL,
    signature {{json}} NOT NULL,
    installed_at BIGINT NOT NULL,
    installed_by TEXT NOT NULL,
    updated_at BIGINT NOT NULL
);
