-- Decisions that runs ask people for. The key is that of the parked call which waits for it.
CREATE TABLE workflow_approvals (
    key TEXT PRIMARY KEY,
    run_id TEXT NOT NULL REFERENCES workflow_runs(id) ON DELETE CASCADE,
    workflow TEXT NOT NULL,
    task TEXT NOT NULL,
    title TEXT NOT NULL,
    -- Text, mode, share, form, deadline, escalation.
    spec TEXT NOT NULL,
    -- open, approved, rejected, expired, withdrawn
    status TEXT NOT NULL,
    -- Whose turn it is; -1 when it is everybody's.
    turn BIGINT NOT NULL,
    escalated BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    due_at BIGINT,
    ended_at BIGINT
);
CREATE INDEX workflow_approvals_status ON workflow_approvals(status, created_at);
CREATE INDEX workflow_approvals_run ON workflow_approvals(run_id);
-- Seats: each has one vote. Its holder is `user:<name>` or `role:<role>`.
CREATE TABLE workflow_seats (
    key TEXT NOT NULL REFERENCES workflow_approvals(key) ON DELETE CASCADE,
    seat BIGINT NOT NULL,
    holder TEXT NOT NULL,
    voter TEXT,
    decision TEXT,
    comment TEXT,
    data TEXT,
    at BIGINT,
    PRIMARY KEY (key, seat)
);
CREATE INDEX workflow_seats_holder ON workflow_seats(holder, key);
