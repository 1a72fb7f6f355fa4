CREATE TABLE plugin_versions (
    seq {{serial}},
    plugin TEXT NOT NULL,
    version TEXT NOT NULL,
    digest TEXT NOT NULL,
    change TEXT NOT NULL,
    reason TEXT,
    at BIGINT NOT NULL,
    actor TEXT NOT NULL
);
CREATE INDEX plugin_versions_plugin ON plugin_versions(plugin, seq);
-- What was there before the last change of version, and where its records were copied to. While `changing` is 1 the change has not
-- ended: a host that starts and finds it so goes back.
CREATE TABLE plugin_previous (
    plugin TEXT PRIMARY KEY,
    version TEXT NOT NULL,
    digest TEXT NOT NULL,
    granted {{json}} NOT NULL,
    settings {{json}} NOT NULL,
    signature {{json}} NOT NULL,
    enabled BIGINT NOT NULL,
    snapshot TEXT NOT NULL,
    collections {{json}} NOT NULL,
    changing BIGINT NOT NULL,
    at BIGINT NOT NULL
);
CREATE TABLE plugin_permission_use (
    plugin TEXT NOT NULL,
    permission TEXT NOT NULL,
    uses BIGINT NOT NULL,
    last_used BIGINT,
    refusals BIGINT NOT NULL,
    last_refused BIGINT,
    PRIMARY KEY (plugin, permission)
);
