-- Uniqueness locks.

-- name: lock_holder
-- The task that holds a uniqueness lock now, and until when. A task that counts as deleted holds none.
SELECT id, until FROM locks WHERE queue = :queue AND key = :key AND until > :now AND NOT EXISTS (
    SELECT 1 FROM tasks WHERE tasks.queue = :queue AND tasks.id = locks.id AND unique_key = :key
        AND (state = 'completed' AND at <= :now OR state = 'archived' AND at <= :old)
);

-- name: lock_until
-- Until when a task holds a uniqueness lock.
SELECT until FROM locks WHERE queue = :queue AND key = :key AND id = :id AND until > :now;

-- name: take_lock
-- Take a uniqueness lock for a task, replacing an expired one.
INSERT INTO locks (queue, key, id, until) VALUES (:queue, :key, :id, :until)
ON CONFLICT (queue, key) DO UPDATE SET id = excluded.id, until = excluded.until;

-- name: unlock
-- Free a uniqueness lock if this task still holds it; returns its expiry.
DELETE FROM locks WHERE queue = :queue AND key = :key AND id = :id RETURNING until;

-- name: purge_locks
-- Delete expired locks of a queue, earliest first.
DELETE FROM locks WHERE (queue, key) IN (
    SELECT queue, key FROM locks WHERE queue = :queue AND until <= :now ORDER BY until LIMIT :limit);
