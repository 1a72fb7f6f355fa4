-- Documents as they will be, until all of a collection are written at once.
CREATE TABLE document_rewrites (
    rewrite TEXT NOT NULL,
    document TEXT{{bytes}} NOT NULL,
    version BIGINT NOT NULL,
    bytes BIGINT NOT NULL,
    search TEXT NOT NULL,
    data {{json}} NOT NULL,
    PRIMARY KEY (rewrite, document)
);
