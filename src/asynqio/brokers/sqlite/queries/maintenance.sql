-- Forward due tasks, delete expired ones, trim the archive, quarantine corrupt ones.

-- name: due_tasks
-- Delayed tasks that are due. Two ranges, so that a long backlog is not sorted again for every batch.
SELECT key, queue, id, unique_key, message, group_key FROM (
    SELECT * FROM (SELECT * FROM tasks WHERE queue = :queue AND state = 'scheduled' AND at <= :now
                   ORDER BY at, seq LIMIT :limit)
    UNION ALL
    SELECT * FROM (SELECT * FROM tasks WHERE queue = :queue AND state = 'retry' AND at <= :now
                   ORDER BY at, seq LIMIT :limit)
) ORDER BY at, state, seq LIMIT :limit;

-- name: next_due
-- When the first scheduled and the first retried task of each queue are due.
SELECT value, (SELECT min(at) FROM tasks WHERE queue = value AND state = 'scheduled'),
              (SELECT min(at) FROM tasks WHERE queue = value AND state = 'retry')
FROM json_each(:queues);

-- name: first_at
-- The earliest time in a state of a queue.
SELECT min(at) FROM tasks WHERE queue = :queue AND state = :state;

-- name: sweep_due
-- What decides whether a queue needs a sweep: when the first retention ends, since when its oldest archived task is
-- archived, the size of the archive, when the first batch expires, whether an index of groups is unused, and when the
-- first lock expires.
SELECT value, (SELECT min(at) FROM tasks WHERE queue = value AND state = 'completed'),
              (SELECT min(at) FROM tasks WHERE queue = value AND state = 'archived'),
              coalesce((SELECT count FROM tallies WHERE queue = value AND what = 'archived'), 0),
              (SELECT min(expires_at) FROM batches WHERE queue = value),
              EXISTS (SELECT 1 FROM group_rules WHERE queue = value AND until <= :now),
              (SELECT min(until) FROM locks WHERE queue = value)
FROM json_each(:queues);

-- name: expired_completed
-- Completed tasks whose retention has expired.
SELECT key, queue, id, unique_key FROM tasks
WHERE queue = :queue AND state = 'completed' AND at <= :now ORDER BY at, seq LIMIT :limit;

-- name: archived_too_old
-- Archived tasks older than the archive keeps, oldest first.
SELECT key, queue, id, unique_key FROM tasks WHERE queue = :queue AND state = 'archived' AND at <= :old
ORDER BY at, seq LIMIT :limit;

-- name: oldest_archived
-- The oldest archived tasks.
SELECT key, queue, id, unique_key FROM tasks WHERE queue = :queue AND state = 'archived'
ORDER BY at, seq LIMIT :limit;

-- name: tally
-- The number of tasks in a state. Exact also within a transaction, except for 'pending'.
SELECT count FROM tallies WHERE queue = :queue AND what = :what;

-- name: count_evicted
-- Count archived tasks that were evicted.
UPDATE queues SET evicted = evicted + :count WHERE name = :queue;

-- name: quarantine
-- Archive a task that cannot be decoded, with a readable message.
UPDATE tasks SET state = 'archived', at = :now, seq = :seq, pending_since = 0, token = 0, owner = '',
    batch = '', message = :message, live = NULL
WHERE key = :key;

-- name: count_quarantined
-- Count a quarantined task.
UPDATE queues SET quarantined = quarantined + 1 WHERE name = :queue;
