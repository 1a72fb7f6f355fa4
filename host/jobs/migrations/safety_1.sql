-- Rules of administrators, and what they changed of those that come with the platform.
CREATE TABLE job_rules (
    id TEXT PRIMARY KEY,
    built_in BIGINT NOT NULL,
    title TEXT NOT NULL,
    level TEXT NOT NULL,
    enabled BIGINT NOT NULL,
    languages {{json}} NOT NULL,
    pattern {{json}} NOT NULL,
    why TEXT NOT NULL,
    advice TEXT NOT NULL,
    roles {{json}} NOT NULL,
    targets TEXT NOT NULL,
    approver TEXT NOT NULL,
    version BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    updated_by TEXT NOT NULL
);
-- What the rules found in the script, and who was asked whether it may run. Text, for a script may hold what PostgreSQL's JSON has no place for.
ALTER TABLE job_executions ADD COLUMN findings TEXT NOT NULL DEFAULT '[]';
ALTER TABLE job_executions ADD COLUMN approval TEXT;
ALTER TABLE job_executions ADD COLUMN approval_until BIGINT;
ALTER TABLE job_executions ADD COLUMN approved_at BIGINT;
CREATE INDEX job_executions_approval ON job_executions (approval_until);
