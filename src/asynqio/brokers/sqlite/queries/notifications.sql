-- Processes that listen, and cancellations for them.

-- name: listeners
-- The processes to notify.
SELECT name, ended FROM listeners;

-- name: listen
-- Register a process to notify.
INSERT INTO listeners (name, ended) VALUES (:name, :ended)
ON CONFLICT (name) DO UPDATE SET ended = excluded.ended;

-- name: unlisten
-- Remove a process that has stopped listening or has died.
DELETE FROM listeners WHERE name = :name;

-- name: is_listening
-- 1 if a process is registered.
SELECT 1 FROM listeners WHERE name = :name;

-- name: insert_cancellation
-- Request the cancellation of a task.
INSERT INTO cancels (seq, queue, id, at, archive) VALUES (:seq, :queue, :id, :at, :archive);

-- name: cancellations_since
-- Cancellations requested after :seq.
SELECT seq, queue, id, archive FROM cancels WHERE seq > :seq ORDER BY seq;

-- name: purge_cancellations
-- Delete old ones of the first :limit cancellations.
DELETE FROM cancels WHERE seq IN (
    SELECT seq FROM (SELECT seq, at FROM cancels ORDER BY seq LIMIT :limit) WHERE at <= :old);

-- name: oldest_cancellation
-- When the first of the stored cancellations was requested.
SELECT at FROM cancels ORDER BY seq LIMIT 1;
