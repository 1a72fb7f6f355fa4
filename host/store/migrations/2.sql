-- Which keys the sealed values of this database go with, by their ids. The keys themselves are elsewhere.
CREATE TABLE secret_keys (
    id TEXT PRIMARY KEY,
    since BIGINT NOT NULL
);
