-- What operators ordered and the engine has not done yet. Taken away by the step that does it.
CREATE TABLE workflow_orders (
    id TEXT PRIMARY KEY,
    run_id TEXT NOT NULL REFERENCES workflow_runs(id) ON DELETE CASCADE,
    body TEXT NOT NULL
);
CREATE INDEX workflow_orders_run ON workflow_orders(run_id, id);
