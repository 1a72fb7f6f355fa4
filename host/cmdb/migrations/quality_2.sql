CREATE TABLE cmdb_health_rules (
    id TEXT PRIMARY KEY,
    spec {{json}} NOT NULL,
    builtin BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);
CREATE TABLE cmdb_health_runs (
    id TEXT PRIMARY KEY,
    state TEXT NOT NULL,
    started_by TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    finished_at BIGINT,
    records BIGINT NOT NULL,
    counts {{json}} NOT NULL,
    error TEXT
);
CREATE TABLE cmdb_health_findings (
    rule TEXT NOT NULL,
    record TEXT NOT NULL,
    model TEXT NOT NULL,
    label TEXT NOT NULL,
    owner TEXT,
    detail {{json}} NOT NULL,
    since BIGINT NOT NULL,
    run TEXT NOT NULL,
    PRIMARY KEY (rule, record)
);
CREATE INDEX cmdb_health_findings_record ON cmdb_health_findings(record);
CREATE INDEX cmdb_health_findings_model ON cmdb_health_findings(model, rule, record);
CREATE TABLE cmdb_health_scores (
    record TEXT PRIMARY KEY,
    model TEXT NOT NULL,
    score BIGINT NOT NULL,
    team TEXT,
    business TEXT,
    run TEXT NOT NULL
);
CREATE INDEX cmdb_health_scores_model ON cmdb_health_scores(model, score);
-- One row a day for everything that has a score: the whole, each model, team and business application.
CREATE TABLE cmdb_health_trend (
    scope TEXT NOT NULL,
    name TEXT NOT NULL,
    day TEXT NOT NULL,
    score DOUBLE PRECISION NOT NULL,
    records BIGINT NOT NULL,
    PRIMARY KEY (scope, name, day)
);
