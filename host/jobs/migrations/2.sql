-- What retention looks for.
CREATE INDEX job_executions_finished ON job_executions (finished_at);
