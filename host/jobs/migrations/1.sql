CREATE TABLE job_nodes (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    hostname TEXT NOT NULL,
    machine_id TEXT NOT NULL,
    state TEXT NOT NULL,
    state_since BIGINT NOT NULL,
    address TEXT,
    agent_version TEXT NOT NULL,
    host_instance_id TEXT,
    facts_digest TEXT,
    enrolled_at BIGINT NOT NULL,
    last_seen_at BIGINT
);
CREATE INDEX job_nodes_machine ON job_nodes (machine_id);
CREATE INDEX job_nodes_state ON job_nodes (state, id);

CREATE TABLE job_certificates (
    serial TEXT PRIMARY KEY,
    node_id TEXT NOT NULL REFERENCES job_nodes (id),
    issued_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    revoked_at BIGINT
);
CREATE INDEX job_certificates_node ON job_certificates (node_id);

CREATE TABLE job_enrolment_tokens (
    id TEXT PRIMARY KEY,
    hash TEXT NOT NULL UNIQUE,
    created_by TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    used_at BIGINT,
    node_id TEXT
);

CREATE TABLE job_executions (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    status TEXT NOT NULL,
    language TEXT NOT NULL,
    script TEXT NOT NULL,
    args {{json}} NOT NULL,
    env {{json}} NOT NULL,
    os_user TEXT,
    cwd TEXT,
    timeout_s BIGINT NOT NULL,
    wait_s BIGINT NOT NULL,
    output_limit BIGINT NOT NULL,
    concurrency BIGINT NOT NULL,
    total BIGINT NOT NULL,
    key_owner TEXT NOT NULL,
    idem_key TEXT,
    request_digest TEXT NOT NULL,
    created_by TEXT NOT NULL,
    actor {{json}} NOT NULL,
    plugin TEXT,
    origin TEXT,
    cancelled_by TEXT,
    created_at BIGINT NOT NULL,
    started_at BIGINT,
    finished_at BIGINT
);
CREATE UNIQUE INDEX job_executions_key ON job_executions (key_owner, idem_key);
CREATE INDEX job_executions_status ON job_executions (status, id);
CREATE INDEX job_executions_plugin ON job_executions (plugin, id);
CREATE INDEX job_executions_origin ON job_executions (origin);

CREATE TABLE job_targets (
    execution_id TEXT NOT NULL REFERENCES job_executions (id),
    node_id TEXT NOT NULL,
    ordinal BIGINT NOT NULL,
    node_name TEXT NOT NULL,
    instances {{json}} NOT NULL,
    env {{json}} NOT NULL,
    status TEXT NOT NULL,
    waiting_for TEXT,
    waiting_since BIGINT,
    sent_at BIGINT,
    accepted_at BIGINT,
    started_at BIGINT,
    finished_at BIGINT,
    duration_ms BIGINT,
    exit_code BIGINT,
    signal BIGINT,
    code TEXT,
    message TEXT,
    stdout_bytes BIGINT NOT NULL,
    stderr_bytes BIGINT NOT NULL,
    stored_stdout BIGINT NOT NULL,
    stored_stderr BIGINT NOT NULL,
    truncated_bytes BIGINT NOT NULL,
    last_seq BIGINT NOT NULL,
    rev BIGINT NOT NULL,
    PRIMARY KEY (execution_id, node_id)
);
CREATE INDEX job_targets_rev ON job_targets (execution_id, rev);
CREATE INDEX job_targets_order ON job_targets (execution_id, ordinal);
CREATE INDEX job_targets_open ON job_targets (node_id, status);

-- `id` is the position in the live view. One task writes this table, so ids become visible in their order.
CREATE TABLE job_output (
    id {{serial}},
    execution_id TEXT NOT NULL,
    node_id TEXT NOT NULL,
    seq BIGINT NOT NULL,
    stream TEXT NOT NULL,
    start_at BIGINT NOT NULL,
    data {{blob}} NOT NULL
);
CREATE UNIQUE INDEX job_output_seq ON job_output (execution_id, node_id, seq);
CREATE INDEX job_output_position ON job_output (execution_id, id);
