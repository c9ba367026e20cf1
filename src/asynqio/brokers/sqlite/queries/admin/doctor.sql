-- Find wrong counters, abandoned batches and late servers.

-- name: abandoned_batches
-- Batches that should have been released long ago.
SELECT queue, count(*) FROM batches WHERE expires_at <= :old GROUP BY queue;

-- name: late_servers
-- Servers whose last heartbeat is late and whose registration expires soon.
SELECT id FROM servers WHERE until > :now AND until <= :soon ORDER BY key;

-- name: miscounted_queues
-- Queues whose counters differ from the number of tasks.
SELECT DISTINCT queue FROM (
    SELECT queue, state AS what, count(*) AS count FROM tasks WHERE state <> 'active' GROUP BY queue, state
    UNION ALL
    SELECT queue, what, -count FROM tallies WHERE what <> 'groups'
) GROUP BY queue, what HAVING sum(count) <> 0 ORDER BY queue;

-- name: clear_grouped
-- Delete all group sizes, to count again.
DELETE FROM grouped;

-- name: clear_tallies
-- Delete all counters, to count again.
DELETE FROM tallies;

-- name: count_tallies
-- Count the tasks of every state.
INSERT INTO tallies SELECT queue, state, count(*) FROM tasks WHERE state <> 'active' GROUP BY queue, state;

-- name: count_grouped
-- Count the members of groups; a trigger counts the groups.
INSERT INTO grouped SELECT queue, group_key, count(*) FROM tasks WHERE state = 'aggregating' AND batch = ''
GROUP BY queue, group_key;
