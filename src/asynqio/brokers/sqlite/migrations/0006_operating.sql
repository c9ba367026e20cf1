-- Operator features: cancel with archive, pause task types.

-- Whether to archive the cancelled task instead of retrying it.
ALTER TABLE cancels ADD COLUMN archive INTEGER NOT NULL DEFAULT 0;

-- Paused task types, and when they were paused.
CREATE TABLE paused_types (
    queue TEXT NOT NULL,
    type  TEXT NOT NULL,
    since REAL NOT NULL,
    PRIMARY KEY (queue, type)
) WITHOUT ROWID;
