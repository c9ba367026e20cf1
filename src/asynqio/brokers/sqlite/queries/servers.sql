-- Servers and schedulers that are running.

-- name: beat
-- Register a server, or extend its registration.
INSERT INTO servers (id, card, until) VALUES (:id, :card, :until)
ON CONFLICT (id) DO UPDATE SET card = excluded.card, until = excluded.until;

-- name: leave
-- Remove a server.
DELETE FROM servers WHERE id = :id;

-- name: purge_servers
-- Remove servers whose registration has expired.
DELETE FROM servers WHERE until <= :now;

-- name: servers
-- The servers, in order of registration.
SELECT card FROM servers ORDER BY key;

-- name: beat_scheduler
-- Register a scheduler, or extend its registration.
INSERT INTO schedulers (id, card, until) VALUES (:id, :card, :until)
ON CONFLICT (id) DO UPDATE SET card = excluded.card, until = excluded.until;

-- name: leave_scheduler
-- Remove a scheduler.
DELETE FROM schedulers WHERE id = :id;

-- name: purge_schedulers
-- Remove schedulers whose registration has expired.
DELETE FROM schedulers WHERE until <= :now;

-- name: schedulers
-- The schedulers, in order of registration.
SELECT card FROM schedulers ORDER BY key;
