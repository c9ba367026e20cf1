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

-- name: first_at
-- The earliest time in a state of a queue.
SELECT min(at) FROM tasks WHERE queue = :queue AND state = :state;

-- name: expired_completed
-- Completed tasks whose retention has expired.
SELECT key, queue, id, unique_key FROM tasks
WHERE queue = :queue AND state = 'completed' AND at <= :now ORDER BY at, seq LIMIT :limit;

-- name: archived_too_old
-- Archived tasks older than the archive keeps.
SELECT key, queue, id, unique_key FROM tasks WHERE queue = :queue AND state = 'archived' AND at <= :old;

-- name: archived_too_many
-- Archived tasks beyond the newest :kept.
SELECT key, queue, id, unique_key FROM tasks WHERE queue = :queue AND state = 'archived'
ORDER BY at DESC, seq DESC LIMIT -1 OFFSET :kept;

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
