-- Values that people or plugins made are TEXT, not JSONB: JSONB refuses \u0000 and forgets the order of keys.
CREATE TABLE workflow_definitions (
    name TEXT PRIMARY KEY,
    version BIGINT NOT NULL,
    owner TEXT,
    title TEXT NOT NULL,
    summary TEXT,
    input_schema TEXT,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    updated_by TEXT NOT NULL
);
CREATE INDEX workflow_definitions_owner ON workflow_definitions(owner);
-- Kept after the definition is deleted: runs stay on the version that they started with.
CREATE TABLE workflow_versions (
    name TEXT NOT NULL,
    version BIGINT NOT NULL,
    source TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (name, version)
);
CREATE TABLE workflow_runs (
    id TEXT PRIMARY KEY,
    workflow TEXT NOT NULL,
    version BIGINT NOT NULL,
    status TEXT NOT NULL,
    actor {{json}} NOT NULL,
    started_by TEXT NOT NULL,
    origin TEXT,
    run_key TEXT,
    started_at BIGINT NOT NULL,
    finished_at BIGINT,
    input TEXT NOT NULL,
    output TEXT,
    error TEXT,
    waiting TEXT,
    -- NULL until the first step.
    state TEXT,
    -- Counts the steps; a step is written only on top of the one that it was computed from.
    rev BIGINT NOT NULL DEFAULT 0,
    -- When the run needs the engine; NULL when it has ended.
    wake_at BIGINT,
    -- Why somebody wants it to end.
    cancel TEXT,
    UNIQUE (workflow, run_key)
);
CREATE INDEX workflow_runs_wake ON workflow_runs(wake_at) WHERE wake_at IS NOT NULL;
CREATE INDEX workflow_runs_workflow ON workflow_runs(workflow, id);
CREATE INDEX workflow_runs_status ON workflow_runs(status, id);
CREATE TABLE workflow_tasks (
    run_id TEXT NOT NULL REFERENCES workflow_runs(id) ON DELETE CASCADE,
    id BIGINT NOT NULL,
    record TEXT NOT NULL,
    PRIMARY KEY (run_id, id)
);
CREATE TABLE workflow_schedules (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    -- '' for people's own, so that the key below holds (NULLs never collide).
    owner TEXT NOT NULL,
    cron TEXT NOT NULL,
    timezone TEXT NOT NULL,
    target {{json}} NOT NULL,
    input TEXT NOT NULL,
    enabled BIGINT NOT NULL,
    actor {{json}} NOT NULL,
    created_by TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    next_at BIGINT,
    last_at BIGINT,
    last_run TEXT,
    last_error TEXT,
    UNIQUE (owner, name)
);
CREATE INDEX workflow_schedules_next ON workflow_schedules(next_at) WHERE next_at IS NOT NULL;
