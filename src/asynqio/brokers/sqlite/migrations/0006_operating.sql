-- What operators can ask for since.

-- Canceled, and then archived instead of retried.
ALTER TABLE cancels ADD COLUMN archive INTEGER NOT NULL DEFAULT 0;

-- Task types that nobody is to work on, and since when.
CREATE TABLE paused_types (
    queue TEXT NOT NULL,
    type  TEXT NOT NULL,
    since REAL NOT NULL,
    PRIMARY KEY (queue, type)
) WITHOUT ROWID;
