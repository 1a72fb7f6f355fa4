-- SHA-256 over what a target printed, when it has ended: those that printed the same are one group.
ALTER TABLE job_targets ADD COLUMN output_hash TEXT;
CREATE INDEX job_targets_group ON job_targets (execution_id, output_hash);
