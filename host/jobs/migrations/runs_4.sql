-- What a script says of itself in a line PLENUM_RESULT={...}, or why that cannot be taken.
ALTER TABLE job_targets ADD COLUMN result TEXT;
ALTER TABLE job_targets ADD COLUMN result_error TEXT;
