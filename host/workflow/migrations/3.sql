-- The newest event when the run was accepted: what came later, its tasks may listen for.
ALTER TABLE workflow_runs ADD COLUMN heard BIGINT NOT NULL DEFAULT 0;
-- The newest event that the run has to look at.
ALTER TABLE workflow_runs ADD COLUMN nudge BIGINT;
-- The parked call and the run that wait for its end.
ALTER TABLE workflow_runs ADD COLUMN parent_key TEXT;
ALTER TABLE workflow_runs ADD COLUMN parent_run TEXT;
-- How many runs are around it.
ALTER TABLE workflow_runs ADD COLUMN depth BIGINT NOT NULL DEFAULT 0;
CREATE INDEX workflow_runs_parent ON workflow_runs(parent_key) WHERE parent_key IS NOT NULL;
CREATE INDEX workflow_runs_parent_run ON workflow_runs(parent_run) WHERE parent_run IS NOT NULL;
-- Which runs listen for which type of event; '' for any. Written with the state.
CREATE TABLE workflow_listens (
    run_id TEXT NOT NULL REFERENCES workflow_runs(id) ON DELETE CASCADE,
    task BIGINT NOT NULL,
    kind TEXT NOT NULL,
    PRIMARY KEY (run_id, task, kind)
);
CREATE INDEX workflow_listens_kind ON workflow_listens(kind);
-- Calls that the engine answers itself, some day. Written with the state that asks, taken away with the state that has the answer.
CREATE TABLE workflow_parked (
    key TEXT PRIMARY KEY,
    run_id TEXT NOT NULL REFERENCES workflow_runs(id) ON DELETE CASCADE,
    kind TEXT NOT NULL,
    task BIGINT NOT NULL,
    body TEXT NOT NULL,
    since BIGINT NOT NULL,
    -- When something is to be done about it without an answer.
    due_at BIGINT,
    -- {"ok": ..} or {"error": ..}
    answer TEXT
);
CREATE INDEX workflow_parked_run ON workflow_parked(run_id);
CREATE INDEX workflow_parked_due ON workflow_parked(due_at) WHERE due_at IS NOT NULL;
-- What starts by the definition's own `schedule`.
CREATE TABLE workflow_starts (
    workflow TEXT PRIMARY KEY,
    version BIGINT NOT NULL,
    -- cron, every, after, on
    kind TEXT NOT NULL,
    actor {{json}} NOT NULL,
    next_at BIGINT,
    -- Up to which event it has heard, and how far that has come.
    heard BIGINT NOT NULL DEFAULT 0,
    hearing TEXT,
    last_at BIGINT,
    last_run TEXT,
    last_error TEXT
);
CREATE INDEX workflow_starts_next ON workflow_starts(next_at) WHERE next_at IS NOT NULL;
CREATE TABLE workflow_start_kinds (
    workflow TEXT NOT NULL REFERENCES workflow_starts(workflow) ON DELETE CASCADE,
    kind TEXT NOT NULL,
    PRIMARY KEY (kind, workflow)
);
-- Named locks: who has them, and who waits in which order.
CREATE TABLE workflow_locks (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    run_id TEXT NOT NULL REFERENCES workflow_runs(id) ON DELETE CASCADE,
    key TEXT NOT NULL UNIQUE,
    permits BIGINT NOT NULL,
    held BIGINT NOT NULL,
    since BIGINT NOT NULL
);
CREATE INDEX workflow_locks_name ON workflow_locks(name, id);
CREATE INDEX workflow_locks_run ON workflow_locks(run_id);
-- The next free place of a queue that moves at a certain pace.
CREATE TABLE workflow_rates (
    name TEXT PRIMARY KEY,
    next_at BIGINT NOT NULL
);
