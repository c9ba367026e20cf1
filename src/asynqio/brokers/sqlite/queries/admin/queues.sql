-- Queues: names, stats, pauses, removal.

-- name: queues
-- All queues by name.
SELECT name FROM queues ORDER BY name;

-- name: queue
-- Pause and totals of one queue.
SELECT paused, processed, failed, evicted, quarantined FROM queues WHERE name = :queue;

-- name: set_paused
-- Pause or resume a queue; changes nothing if it is in that state.
UPDATE queues SET paused = :paused WHERE name = :queue AND paused <> :paused;

-- name: pause_type
-- Pause a task type; changes nothing if it is paused.
INSERT INTO paused_types (queue, type, since) VALUES (:queue, :type, :since) ON CONFLICT DO NOTHING;

-- name: resume_type
-- Resume a task type.
DELETE FROM paused_types WHERE queue = :queue AND type = :type;

-- name: paused_types
-- The paused task types of a queue.
SELECT type, since FROM paused_types WHERE queue = :queue ORDER BY type;

-- name: tallies
-- Number of tasks by state, and of groups. Active tasks are few, so they are counted here.
SELECT what, count FROM tallies WHERE queue = :queue
UNION ALL
SELECT 'active', count(*) FROM tasks WHERE queue = :queue AND state = 'active';

-- name: mean_size
-- Mean size in bytes of the first :limit tasks of a state, with the records of their attempts.
SELECT avg(length(message) + coalesce(length(result), 0) + coalesce(length(progress), 0)
    + coalesce((SELECT sum(length(record)) FROM attempts WHERE task = key), 0)) FROM (
    SELECT key, message, result, progress FROM tasks WHERE queue = :queue AND state = :state LIMIT :limit
);

-- name: front_pending_since
-- When the first pending tasks became pending.
SELECT pending_since FROM tasks WHERE queue = :queue AND state = 'pending' ORDER BY at, seq LIMIT :limit;

-- name: day
-- The attempts of one day.
SELECT processed, failed FROM days WHERE queue = :queue AND day = :day;

-- name: remove_tasks
-- Delete up to :limit tasks of a queue.
DELETE FROM tasks WHERE key IN (SELECT key FROM tasks WHERE queue = :queue LIMIT :limit);

-- name: remove_batches
-- Delete the claimed batches of a queue.
DELETE FROM batches WHERE queue = :queue;

-- name: remove_locks
-- Delete up to :limit locks of a queue.
DELETE FROM locks WHERE (queue, key) IN (SELECT queue, key FROM locks WHERE queue = :queue LIMIT :limit);

-- name: remove_days
-- Delete the daily stats of a queue.
DELETE FROM days WHERE queue = :queue;

-- name: remove_tallies
-- Delete the counters of a queue.
DELETE FROM tallies WHERE queue = :queue;

-- name: remove_grouped
-- Delete the group sizes of a queue.
DELETE FROM grouped WHERE queue = :queue;

-- name: remove_paused_types
-- Delete the paused task types of a queue.
DELETE FROM paused_types WHERE queue = :queue;

-- name: remove_schedules
-- Delete the schedules of a queue.
DELETE FROM schedules WHERE queue = :queue;

-- name: remove_flushed_groups
-- Delete the marks of the flushed groups of a queue.
DELETE FROM flushed_groups WHERE queue = :queue;

-- name: remove_group_failures
-- Delete the failures of the groups of a queue.
DELETE FROM group_failures WHERE queue = :queue;

-- name: remove_group_due
-- Delete the indexes of the groups of a queue.
DELETE FROM group_due WHERE queue = :queue;

-- name: remove_group_rules
-- Delete the sets of rules for the groups of a queue.
DELETE FROM group_rules WHERE queue = :queue;

-- name: remove_queue
-- Delete a queue itself.
DELETE FROM queues WHERE name = :queue;
