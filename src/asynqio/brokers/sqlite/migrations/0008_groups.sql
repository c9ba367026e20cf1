-- Failed aggregations, and the times at which groups are ripe.

-- The failed aggregations of a group in a row (core/groups.py, GroupFailure).
CREATE TABLE group_failures (
    queue     TEXT NOT NULL,
    group_key TEXT NOT NULL,
    failures  INTEGER NOT NULL,
    error     TEXT NOT NULL,
    failed_at REAL NOT NULL,
    retry_at  REAL NOT NULL,
    oldest_at REAL NOT NULL,
    PRIMARY KEY (queue, group_key)
) WITHOUT ROWID;

-- When the oldest member of a batch joined.
ALTER TABLE batches ADD COLUMN oldest_at REAL NOT NULL DEFAULT 0;

-- The failures end when the last unclaimed member leaves the group unclaimed.
CREATE TRIGGER failures_deleted AFTER DELETE ON tasks WHEN OLD.state = 'aggregating' AND OLD.batch = '' BEGIN
    DELETE FROM group_failures WHERE queue = OLD.queue AND group_key = OLD.group_key AND NOT EXISTS (
        SELECT 1 FROM tasks
        WHERE queue = OLD.queue AND group_key = OLD.group_key AND state = 'aggregating' AND batch = '');
END;

CREATE TRIGGER failures_left AFTER UPDATE OF state, group_key ON tasks
WHEN OLD.state = 'aggregating' AND OLD.batch = ''
    AND (NEW.state <> 'aggregating' OR NEW.group_key <> OLD.group_key) BEGIN
    DELETE FROM group_failures WHERE queue = OLD.queue AND group_key = OLD.group_key AND NOT EXISTS (
        SELECT 1 FROM tasks
        WHERE queue = OLD.queue AND group_key = OLD.group_key AND state = 'aggregating' AND batch = '');
END;
