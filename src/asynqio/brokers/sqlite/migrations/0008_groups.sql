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

-- The sets of rules by which servers aggregate the groups of a queue (core/groups.py, policy_id).
CREATE TABLE group_rules (
    queue    TEXT NOT NULL,
    rules    TEXT NOT NULL,
    -- Until when it is in use.
    until    REAL NOT NULL,
    -- Groups up to this name are in its index; NULL: all of them.
    built_to TEXT,
    PRIMARY KEY (queue, rules)
) WITHOUT ROWID;

-- The index of each set of rules: the time at which to check a group next, 0 if it changed.
CREATE TABLE group_due (
    queue     TEXT NOT NULL,
    group_key TEXT NOT NULL,
    rules     TEXT NOT NULL,
    due       REAL NOT NULL,
    PRIMARY KEY (queue, group_key, rules)
) WITHOUT ROWID;
CREATE INDEX group_due_first ON group_due (queue, rules, due);

CREATE TRIGGER group_due_came AFTER INSERT ON grouped BEGIN
    INSERT INTO group_due SELECT queue, NEW.group_key, rules, 0 FROM group_rules WHERE queue = NEW.queue
    ON CONFLICT DO UPDATE SET due = 0 WHERE due <> 0;
END;

CREATE TRIGGER group_due_changed AFTER UPDATE OF members ON grouped WHEN NEW.members > 0 BEGIN
    INSERT INTO group_due SELECT queue, NEW.group_key, rules, 0 FROM group_rules WHERE queue = NEW.queue
    ON CONFLICT DO UPDATE SET due = 0 WHERE due <> 0;
END;

CREATE TRIGGER group_due_flushed AFTER INSERT ON flushed_groups BEGIN
    UPDATE group_due SET due = 0 WHERE queue = NEW.queue AND group_key = NEW.group_key;
END;

CREATE TRIGGER group_due_flushed_again AFTER UPDATE ON flushed_groups BEGIN
    UPDATE group_due SET due = 0 WHERE queue = NEW.queue AND group_key = NEW.group_key;
END;

CREATE TRIGGER group_due_went AFTER DELETE ON grouped BEGIN
    DELETE FROM group_due WHERE queue = OLD.queue AND group_key = OLD.group_key;
END;
