-- Settle leased tasks, and count attempts.

-- name: leased_tasks
-- Those tasks of one dequeue that are still leased.
SELECT key, queue, id FROM tasks WHERE key IN (SELECT value FROM json_each(:keys)) AND token = :token;

-- name: delete_leased
-- Delete leased tasks.
DELETE FROM tasks WHERE key IN (SELECT value FROM json_each(:keys)) AND token = :token;

-- name: settle
-- Move a leased task to another state, with a changed message.
UPDATE tasks SET state = :state, at = :at, seq = :seq, pending_since = :since, token = 0, owner = '',
    unique_key = :unique_key, message = :message, result = coalesce(:result, result),
    runs = runs + :ran, live = NULL
WHERE key = :key AND token = :token AND queue = :queue AND id = :id;

-- name: settle_to_pending
-- Move a leased task back to pending, with its message unchanged.
UPDATE tasks SET state = 'pending', at = 0, seq = :seq, pending_since = :since, token = 0, owner = '',
    result = coalesce(:result, result), runs = runs + :ran, live = NULL
WHERE key = :key AND token = :token AND queue = :queue AND id = :id;

-- name: write_output
-- Store a result, progress or the live record of the attempt with a leased task.
UPDATE tasks SET result = coalesce(:result, result), progress = coalesce(:progress, progress),
    live = coalesce(:live, live)
WHERE key = :key AND token = :token AND queue = :queue AND id = :id;

-- name: count_total
-- Count attempts in the totals of the queue.
UPDATE queues SET processed = processed + :processed, failed = failed + :failed WHERE name = :queue;

-- name: count_day
-- Count attempts of one day.
INSERT INTO days (queue, day, processed, failed) VALUES (:queue, :day, :processed, :failed)
ON CONFLICT (queue, day) DO UPDATE
SET processed = processed + excluded.processed, failed = failed + excluded.failed;

-- name: purge_days
-- Delete days that are too old, once there are more than :kept.
DELETE FROM days WHERE queue = :queue AND day <= :day - :kept
  AND (SELECT count(*) FROM days WHERE queue = :queue) > :kept;
