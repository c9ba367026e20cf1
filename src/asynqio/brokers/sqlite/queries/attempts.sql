-- Records of attempts.

-- name: insert_attempt
-- Store the record of the attempt that `runs` has just counted.
INSERT OR REPLACE INTO attempts (task, number, record) SELECT key, runs, ? FROM tasks WHERE key = ?;

-- name: trim_attempts
-- Delete all but the newest :kept records of some tasks.
DELETE FROM attempts WHERE task IN (
    SELECT key FROM tasks WHERE key IN (SELECT value FROM json_each(:keys)) AND runs > :kept
) AND number <= (SELECT runs FROM tasks WHERE key = task) - :kept;

-- name: attempts
-- The recorded attempts at a task, oldest first.
SELECT number, record FROM attempts WHERE task = :key ORDER BY number;

-- name: running_attempt
-- State, owner and live record of a task.
SELECT key, state, at, owner, runs, live FROM tasks WHERE queue = :queue AND id = :id;
