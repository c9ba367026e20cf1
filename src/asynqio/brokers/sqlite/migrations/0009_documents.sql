-- Documents and logs: what gateways share.

CREATE TABLE collections (
    name     TEXT NOT NULL PRIMARY KEY,
    -- Increased by each change.
    revision INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE documents (
    collection TEXT NOT NULL,
    name       TEXT NOT NULL,
    data       BLOB NOT NULL,
    PRIMARY KEY (collection, name)
) WITHOUT ROWID;

CREATE TABLE log_entries (
    log    TEXT NOT NULL,
    number INTEGER NOT NULL,
    at     REAL NOT NULL,
    data   BLOB NOT NULL,
    PRIMARY KEY (log, number)
) WITHOUT ROWID;
