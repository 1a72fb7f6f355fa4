-- Which execution this one repeats, and the first of them all.
ALTER TABLE job_executions ADD COLUMN retry_of TEXT;
ALTER TABLE job_executions ADD COLUMN chain TEXT;
CREATE INDEX job_executions_chain ON job_executions (chain, id);
