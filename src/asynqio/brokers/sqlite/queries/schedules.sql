-- Schedules and their events.

-- name: register_schedule
-- Create a schedule, or note that a scheduler serves it now.
INSERT INTO schedules (queue, id, since, met_at) VALUES (:queue, :id, :now, :now)
ON CONFLICT (queue, id) DO UPDATE SET met_at = excluded.met_at;

-- name: schedule_state
-- The state of a schedule.
SELECT last, paused, since, met_at FROM schedules WHERE queue = :queue AND id = :id;

-- name: schedule_states
-- The states of the schedules of a queue.
SELECT id, last, paused, since, met_at FROM schedules WHERE queue = :queue ORDER BY id;

-- name: take_tick
-- Take a tick if it is later than the last one taken and the schedule is not paused.
INSERT INTO schedules (queue, id, last, since, met_at) VALUES (:queue, :id, :tick, :now, :now)
ON CONFLICT (queue, id) DO UPDATE SET last = excluded.last
WHERE NOT paused AND (last IS NULL OR last < excluded.last);

-- name: pause_schedule
-- Pause a schedule; changes nothing if it is paused.
INSERT INTO schedules (queue, id, paused, since, met_at) VALUES (:queue, :id, 1, :now, :now)
ON CONFLICT (queue, id) DO UPDATE SET paused = 1 WHERE NOT paused;

-- name: resume_schedule
-- Resume a schedule without its missed ticks; changes nothing if it is not paused.
UPDATE schedules SET paused = 0, since = :now WHERE queue = :queue AND id = :id AND paused;

-- name: prune_schedule
-- Delete a schedule that no scheduler has served since :before.
DELETE FROM schedules WHERE queue = :queue AND id = :id AND met_at <= :before;

-- name: insert_fire
-- Record that a schedule enqueued a task.
INSERT INTO fires (schedule, seq, task, at) VALUES (:schedule, :seq, :task, :at);

-- name: trim_fires
-- Keep the newest :kept events of a schedule.
DELETE FROM fires WHERE schedule = :schedule AND seq <= (
    SELECT seq FROM fires WHERE schedule = :schedule ORDER BY seq DESC LIMIT 1 OFFSET :kept);

-- name: silent_schedules
-- Schedules whose newest event is old. Steps from one schedule to the next, so it does not read all events.
WITH RECURSIVE names(name) AS (
    SELECT min(schedule) FROM fires
    UNION ALL
    SELECT (SELECT min(schedule) FROM fires WHERE schedule > name) FROM names WHERE name IS NOT NULL
)
SELECT name FROM names WHERE name IS NOT NULL
  AND (SELECT at FROM fires WHERE schedule = name ORDER BY seq DESC LIMIT 1) <= :old;

-- name: purge_fires
-- Delete the events of schedules whose newest event is old.
DELETE FROM fires WHERE schedule IN (
    SELECT value FROM json_each(:schedules)
    WHERE (SELECT at FROM fires WHERE schedule = value ORDER BY seq DESC LIMIT 1) <= :old);

-- name: newest_fire
-- When a schedule last enqueued a task.
SELECT at FROM fires WHERE schedule = :schedule ORDER BY seq DESC LIMIT 1;

-- name: fires
-- The events of a schedule, newest first.
SELECT task, at FROM fires WHERE schedule = :schedule ORDER BY seq DESC LIMIT :size OFFSET :offset;
