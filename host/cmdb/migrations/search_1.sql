-- What is found of records by words: see src/search. `terms` is made of the record by the host, so that both databases find the same.
-- only sqlite
CREATE TABLE cmdb_search (
    doc INTEGER PRIMARY KEY,
    record TEXT NOT NULL UNIQUE,
    model TEXT NOT NULL,
    label TEXT NOT NULL,
    terms TEXT NOT NULL
);
-- Of the index itself only which terms are in which row; the words are in the table.
CREATE VIRTUAL TABLE cmdb_search_terms USING fts5(
    terms, content = '', contentless_delete = 1, detail = none, tokenize = "ascii"
);
CREATE TRIGGER cmdb_search_made AFTER INSERT ON cmdb_search BEGIN
    INSERT INTO cmdb_search_terms (rowid, terms) VALUES (new.doc, new.terms);
END;
CREATE TRIGGER cmdb_search_changed AFTER UPDATE OF terms ON cmdb_search BEGIN
    DELETE FROM cmdb_search_terms WHERE rowid = old.doc;
    INSERT INTO cmdb_search_terms (rowid, terms) VALUES (new.doc, new.terms);
END;
CREATE TRIGGER cmdb_search_gone AFTER DELETE ON cmdb_search BEGIN
    DELETE FROM cmdb_search_terms WHERE rowid = old.doc;
END;
-- only postgres
CREATE TABLE cmdb_search (
    record TEXT COLLATE "C" PRIMARY KEY,
    model TEXT NOT NULL,
    label TEXT NOT NULL,
    terms TSVECTOR NOT NULL
);
CREATE INDEX cmdb_search_terms ON cmdb_search USING gin (terms);
-- both
CREATE INDEX cmdb_search_label ON cmdb_search(label{{bytes}}, model, record);
-- Models whose records are put into the index in the background, and how far that is.
CREATE TABLE cmdb_search_work (
    model TEXT PRIMARY KEY,
    after TEXT NOT NULL
);
INSERT INTO cmdb_search_work (model, after) SELECT name, '' FROM cmdb_models;
