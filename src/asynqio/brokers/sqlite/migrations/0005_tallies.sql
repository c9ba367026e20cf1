-- Number of tasks by state, and of groups, so that the cost of stats does not grow with the number of tasks. All
-- states but 'active': leases are few, so they are counted when needed.
--
-- The two transitions of every task, enqueue as pending and pending to active, are counted by the code that makes
-- them, once per transaction (`tally_pending`); triggers count all other transitions. So within a transaction a task may
-- leave pending before it was counted there, and the count may be negative for a moment. (Measured: triggers for these two
-- as well take 5 us more per task, of 15; this takes 1.)
CREATE TABLE tallies (
    queue TEXT NOT NULL,
    -- A state, or 'groups'.
    what  TEXT NOT NULL,
    count INTEGER NOT NULL,
    PRIMARY KEY (queue, what)
) WITHOUT ROWID;

-- Groups that hold unclaimed tasks.
CREATE TABLE grouped (
    queue     TEXT NOT NULL,
    group_key TEXT NOT NULL,
    members   INTEGER NOT NULL,
    PRIMARY KEY (queue, group_key)
) WITHOUT ROWID;

INSERT INTO tallies SELECT queue, state, count(*) FROM tasks WHERE state <> 'active' GROUP BY queue, state;
INSERT INTO grouped SELECT queue, group_key, count(*) FROM tasks WHERE state = 'aggregating' AND batch = ''
GROUP BY queue, group_key;
INSERT INTO tallies SELECT queue, 'groups', count(*) FROM grouped GROUP BY queue;

CREATE TRIGGER tasks_came AFTER INSERT ON tasks WHEN NEW.state <> 'pending' BEGIN
    INSERT INTO tallies VALUES (NEW.queue, NEW.state, 1) ON CONFLICT DO UPDATE SET count = count + 1;
    INSERT INTO grouped SELECT NEW.queue, NEW.group_key, 1 WHERE NEW.state = 'aggregating'
    ON CONFLICT DO UPDATE SET members = members + 1;
END;

CREATE TRIGGER tasks_went AFTER DELETE ON tasks WHEN OLD.state <> 'active' BEGIN
    INSERT INTO tallies VALUES (OLD.queue, OLD.state, -1) ON CONFLICT DO UPDATE SET count = count - 1;
    UPDATE grouped SET members = members - 1
    WHERE OLD.state = 'aggregating' AND OLD.batch = '' AND queue = OLD.queue AND group_key = OLD.group_key;
END;

CREATE TRIGGER tasks_moved AFTER UPDATE OF state, queue ON tasks WHEN NEW.state <> 'active' BEGIN
    INSERT INTO tallies SELECT OLD.queue, OLD.state, -1 WHERE OLD.state <> 'active'
    ON CONFLICT DO UPDATE SET count = count - 1;
    UPDATE grouped SET members = members - 1
    WHERE OLD.state = 'aggregating' AND OLD.batch = '' AND queue = OLD.queue AND group_key = OLD.group_key;
    INSERT INTO tallies VALUES (NEW.queue, NEW.state, 1) ON CONFLICT DO UPDATE SET count = count + 1;
    INSERT INTO grouped SELECT NEW.queue, NEW.group_key, 1 WHERE NEW.state = 'aggregating'
    ON CONFLICT DO UPDATE SET members = members + 1;
END;

CREATE TRIGGER members_claimed AFTER UPDATE OF batch ON tasks
WHEN NEW.state = 'aggregating' AND OLD.state = 'aggregating' AND (NEW.batch = '') <> (OLD.batch = '') BEGIN
    INSERT INTO grouped VALUES (NEW.queue, NEW.group_key, CASE WHEN NEW.batch = '' THEN 1 ELSE -1 END)
    ON CONFLICT DO UPDATE SET members = members + excluded.members;
END;

CREATE TRIGGER members_regrouped AFTER UPDATE OF group_key ON tasks
WHEN NEW.state = 'aggregating' AND NEW.batch = '' AND NEW.group_key <> OLD.group_key BEGIN
    UPDATE grouped SET members = members - 1 WHERE queue = OLD.queue AND group_key = OLD.group_key;
    INSERT INTO grouped VALUES (NEW.queue, NEW.group_key, 1) ON CONFLICT DO UPDATE SET members = members + 1;
END;

CREATE TRIGGER groups_came AFTER INSERT ON grouped BEGIN
    INSERT INTO tallies VALUES (NEW.queue, 'groups', 1) ON CONFLICT DO UPDATE SET count = count + 1;
END;

CREATE TRIGGER groups_emptied AFTER UPDATE OF members ON grouped WHEN NEW.members <= 0 BEGIN
    DELETE FROM grouped WHERE queue = NEW.queue AND group_key = NEW.group_key;
    UPDATE tallies SET count = count - 1 WHERE queue = NEW.queue AND what = 'groups';
END;
