-- What is kept of the attempts at a task (core/attempts.py). `record` and `live` are MessagePack.

-- How many attempts were recorded so far, and what the one that goes on has left of itself.
ALTER TABLE tasks ADD COLUMN runs INTEGER NOT NULL DEFAULT 0;
ALTER TABLE tasks ADD COLUMN live BLOB;

CREATE TABLE attempts (
    task   INTEGER NOT NULL,
    number INTEGER NOT NULL,
    record BLOB NOT NULL,
    PRIMARY KEY (task, number)
) WITHOUT ROWID;

-- Whoever deletes a task, its attempts go too; a task without any, as almost all are, is not looked up.
CREATE TRIGGER attempts_go AFTER DELETE ON tasks WHEN OLD.runs > 0
BEGIN
    DELETE FROM attempts WHERE task = OLD.key;
END;
