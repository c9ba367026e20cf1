-- Records of attempts (core/attempts). `record` and `live` are MessagePack.

-- The number of recorded attempts, and the live record of the running one.
ALTER TABLE tasks ADD COLUMN runs INTEGER NOT NULL DEFAULT 0;
ALTER TABLE tasks ADD COLUMN live BLOB;

CREATE TABLE attempts (
    task   INTEGER NOT NULL,
    number INTEGER NOT NULL,
    record BLOB NOT NULL,
    PRIMARY KEY (task, number)
) WITHOUT ROWID;

-- Delete the records with the task. Almost all tasks have none, and cause no lookup.
CREATE TRIGGER attempts_go AFTER DELETE ON tasks WHEN OLD.runs > 0
BEGIN
    DELETE FROM attempts WHERE task = OLD.key;
END;
