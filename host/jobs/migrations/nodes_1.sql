-- How agents are to work, for groups of nodes.
CREATE TABLE job_node_policies (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    nodes TEXT NOT NULL,
    place BIGINT NOT NULL,
    settings {{json}} NOT NULL,
    version BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    updated_by TEXT NOT NULL
);
