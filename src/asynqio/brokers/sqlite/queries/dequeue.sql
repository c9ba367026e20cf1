-- Lease the next pending tasks.

-- name: next_pending
-- The first pending tasks, none if the queue is paused.
SELECT key, queue, id, unique_key, message, seq, pending_since FROM tasks
WHERE queue = :queue AND state = 'pending'
  AND NOT EXISTS (SELECT 1 FROM queues WHERE name = :queue AND paused)
ORDER BY at, seq LIMIT :limit;

-- name: lease_pending
-- Lease every pending task up to a position. Positions are unique, so these are the tasks just read.
UPDATE tasks SET state = 'active', at = :expires_at, token = :token, owner = :owner, pending_since = 0
WHERE queue = :queue AND state = 'pending' AND at = 0 AND seq <= :last;
