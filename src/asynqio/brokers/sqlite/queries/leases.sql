-- Renew leases, find expired ones.

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
