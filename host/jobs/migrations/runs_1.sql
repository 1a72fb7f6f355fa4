-- How an execution goes through its targets, and where it stands.
ALTER TABLE job_executions ADD COLUMN strategy {{json}} NOT NULL DEFAULT '{}';
ALTER TABLE job_executions ADD COLUMN batches BIGINT NOT NULL DEFAULT 1;
ALTER TABLE job_executions ADD COLUMN batch BIGINT NOT NULL DEFAULT 1;
ALTER TABLE job_executions ADD COLUMN batch_since BIGINT;
ALTER TABLE job_executions ADD COLUMN resume_at BIGINT;
ALTER TABLE job_executions ADD COLUMN stopped_at BIGINT;
ALTER TABLE job_executions ADD COLUMN stop_code TEXT;
ALTER TABLE job_executions ADD COLUMN stop_reason TEXT;
ALTER TABLE job_targets ADD COLUMN batch BIGINT NOT NULL DEFAULT 1;
-- Counting targets by status reads this index and not the rows.
CREATE INDEX job_targets_status ON job_targets (execution_id, status);
