-- Which records people may see and change.
CREATE TABLE data_roles (
    name TEXT PRIMARY KEY,
    version BIGINT NOT NULL,
    spec {{json}} NOT NULL,
    updated_at BIGINT NOT NULL
);
CREATE TABLE data_role_members (
    role TEXT NOT NULL REFERENCES data_roles(name) ON DELETE CASCADE,
    user_id TEXT NOT NULL REFERENCES users(id) ON DELETE CASCADE,
    PRIMARY KEY (role, user_id)
);
CREATE INDEX data_role_members_user ON data_role_members(user_id);
