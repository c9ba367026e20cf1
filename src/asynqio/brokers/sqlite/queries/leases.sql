-- Lease tasks, renew leases, find expired ones.

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

-- name: renew
-- Extend a lease that is still held.
UPDATE tasks SET at = :expires_at WHERE key = :key AND token = :token AND queue = :queue AND id = :id;

-- name: renew_owner
-- Extend every lease of a server.
UPDATE tasks SET at = :expires_at
WHERE queue IN (SELECT name FROM queues) AND state = 'active' AND owner = :owner;

-- name: expired_leases
-- Active tasks whose lease has expired, earliest expiry first.
SELECT key, queue, id, unique_key, message, token, at FROM tasks
WHERE queue = :queue AND state = 'active' AND at <= :now ORDER BY at, token, seq LIMIT :limit;

-- name: next_lease_expiry
-- When the next lease expires.
SELECT min(at) FROM tasks WHERE queue = :queue AND state = 'active' AND at > :now;

-- name: is_leased
-- 1 if a lease is still held.
SELECT 1 FROM tasks WHERE key = :key AND token = :token;
