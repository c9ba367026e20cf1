-- Every statement of the SQLite broker. `-- name: x`, then one line of purpose; loaded by sql.py.

-- name: next_numbers
-- Take :count fresh numbers; answers the last of them.
UPDATE counter SET last = last + :count RETURNING last;

-- name: last_number
-- The number taken last: it grows whenever a task is placed somewhere.
SELECT last FROM counter;

-- name: ensure_queue
-- A queue exists from the first task, or pause, on.
INSERT INTO queues (name) VALUES (:queue) ON CONFLICT DO NOTHING;

-- name: lock_holder
-- Who holds a uniqueness lock now, and until when.
SELECT id, until FROM locks WHERE queue = :queue AND key = :key AND until > :now;

-- name: take_lock
-- Hold a uniqueness lock for a task; one that ran out is replaced.
INSERT INTO locks (queue, key, id, until) VALUES (:queue, :key, :id, :until)
ON CONFLICT (queue, key) DO UPDATE SET id = excluded.id, until = excluded.until;

-- name: unlock
-- Free a uniqueness lock, if this task still holds it; answers until when it would have.
DELETE FROM locks WHERE queue = :queue AND key = :key AND id = :id RETURNING until;

-- name: purge_locks
-- Forget the locks of a queue that ran out.
DELETE FROM locks WHERE queue = :queue AND until <= :now;

-- name: insert_task
-- Take a task in; nothing happens when its id is taken.
INSERT INTO tasks (key, queue, id, state, at, seq, pending_since, group_key, unique_key, message)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (queue, id) DO NOTHING;

-- name: page_size
-- Bytes per page.
PRAGMA page_size;

-- name: pages_used
-- How many pages hold something.
SELECT page_count - freelist_count FROM pragma_page_count, pragma_freelist_count;

-- name: pages
-- How many pages the file has.
SELECT page_count FROM pragma_page_count;

-- name: next_pending
-- The first tasks in line, unless the queue is paused.
SELECT key, queue, id, unique_key, message, seq, pending_since FROM tasks
WHERE queue = :queue AND state = 'pending'
  AND NOT EXISTS (SELECT 1 FROM queues WHERE name = :queue AND paused)
ORDER BY at, seq LIMIT :limit;

-- name: lease_pending
-- Everything in line up to a place becomes active: places are unique, so these are the tasks just read.
UPDATE tasks SET state = 'active', at = :expires_at, token = :token, owner = :owner, pending_since = 0
WHERE queue = :queue AND state = 'pending' AND at = 0 AND seq <= :last;

-- name: renew
-- A lease that is still held lasts longer.
UPDATE tasks SET at = :expires_at WHERE key = :key AND token = :token AND queue = :queue AND id = :id;

-- name: renew_owner
-- Every lease of a server lasts longer.
UPDATE tasks SET at = :expires_at
WHERE queue IN (SELECT name FROM queues) AND state = 'active' AND owner = :owner;

-- name: held
-- Tasks of one dequeue that are still leased.
SELECT key, queue, id FROM tasks WHERE key IN (SELECT value FROM json_each(:keys)) AND token = :token;

-- name: finish
-- Leased tasks are gone.
DELETE FROM tasks WHERE key IN (SELECT value FROM json_each(:keys)) AND token = :token;

-- name: settle
-- A leased task goes on in another state, changed.
UPDATE tasks SET state = :state, at = :at, seq = :seq, pending_since = :since, token = 0, owner = '',
    unique_key = :unique_key, message = :message, result = coalesce(:result, result),
    runs = runs + :ran, live = NULL
WHERE key = :key AND token = :token AND queue = :queue AND id = :id;

-- name: hand_back
-- A leased task is pending again, unchanged.
UPDATE tasks SET state = 'pending', at = 0, seq = :seq, pending_since = :since, token = 0, owner = '',
    result = coalesce(:result, result), runs = runs + :ran, live = NULL
WHERE key = :key AND token = :token AND queue = :queue AND id = :id;

-- name: keep_attempt
-- Put down the attempt that has just been counted in `runs`.
INSERT OR REPLACE INTO attempts (task, number, record) SELECT key, runs, ? FROM tasks WHERE key = ?;

-- name: drop_attempts
-- Forget all but the youngest :kept attempts at some tasks.
DELETE FROM attempts WHERE task IN (
    SELECT key FROM tasks WHERE key IN (SELECT value FROM json_each(:keys)) AND runs > :kept
) AND number <= (SELECT runs FROM tasks WHERE key = task) - :kept;

-- name: attempts
-- The recorded attempts at a task, oldest first.
SELECT number, record FROM attempts WHERE task = :key ORDER BY number;

-- name: attempt_under_way
-- Whether a task is being worked on, by whom, and what is known of it.
SELECT key, state, owner, runs, live FROM tasks WHERE queue = :queue AND id = :id;

-- name: write_output
-- Keep a result, progress, what is known of the attempt, or several of them, with a leased task.
UPDATE tasks SET result = coalesce(:result, result), progress = coalesce(:progress, progress),
    live = coalesce(:live, live)
WHERE key = :key AND token = :token AND queue = :queue AND id = :id;

-- name: count_total
-- Attempts since the queue exists.
UPDATE queues SET processed = processed + :processed, failed = failed + :failed WHERE name = :queue;

-- name: count_day
-- Attempts of one day.
INSERT INTO days (queue, day, processed, failed) VALUES (:queue, :day, :processed, :failed)
ON CONFLICT (queue, day) DO UPDATE
SET processed = processed + excluded.processed, failed = failed + excluded.failed;

-- name: purge_days
-- Forget days that are too old, once more than :kept are known.
DELETE FROM days WHERE queue = :queue AND day <= :day - :kept
  AND (SELECT count(*) FROM days WHERE queue = :queue) > :kept;

-- name: place
-- A task goes to another state, unchanged.
UPDATE tasks SET state = ?, at = ?, seq = ?, pending_since = ?, token = 0, owner = '', batch = ''
WHERE key = ?;

-- name: delete_task
-- A task is gone.
DELETE FROM tasks WHERE key = ?;

-- name: quarantine
-- A task that cannot be read is archived as what it is.
UPDATE tasks SET state = 'archived', at = :now, seq = :seq, pending_since = 0, token = 0, owner = '',
    batch = '', message = :message, live = NULL
WHERE key = :key;

-- name: count_quarantined
-- Tasks that could not be read.
UPDATE queues SET quarantined = quarantined + 1 WHERE name = :queue;

-- name: archived_too_old
-- Archived tasks that are older than the archive keeps.
SELECT key, queue, id, unique_key FROM tasks WHERE queue = :queue AND state = 'archived' AND at <= :old;

-- name: archived_too_many
-- Archived tasks beyond the youngest :kept.
SELECT key, queue, id, unique_key FROM tasks WHERE queue = :queue AND state = 'archived'
ORDER BY at DESC, seq DESC LIMIT -1 OFFSET :kept;

-- name: count_evicted
-- Archived tasks that were dropped.
UPDATE queues SET evicted = evicted + :count WHERE name = :queue;

-- name: due
-- Delayed tasks whose time has come. Two ranges, so that a long backlog is not sorted again for every batch.
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

-- name: lapsed
-- Active tasks whose lease ran out, in the order in which it did.
SELECT key, queue, id, unique_key, message, token, at FROM tasks
WHERE queue = :queue AND state = 'active' AND at <= :now ORDER BY at, token, seq LIMIT :limit;

-- name: next_lapse
-- When the next lease runs out.
SELECT min(at) FROM tasks WHERE queue = :queue AND state = 'active' AND at > :now;

-- name: still_leased
-- Whether a lease is still held.
SELECT 1 FROM tasks WHERE key = :key AND token = :token;

-- name: outlived
-- Completed tasks whose retention is over.
SELECT key, queue, id, unique_key FROM tasks
WHERE queue = :queue AND state = 'completed' AND at <= :now ORDER BY at, seq LIMIT :limit;

-- name: group_names
-- The groups of a queue that hold unclaimed tasks. From one name to the next, so members cost nothing.
WITH RECURSIVE names(name) AS (
    SELECT min(group_key) FROM tasks WHERE queue = :queue AND state = 'aggregating' AND batch = ''
    UNION ALL
    SELECT (SELECT min(group_key) FROM tasks
            WHERE queue = :queue AND state = 'aggregating' AND batch = '' AND group_key > name)
    FROM names WHERE name IS NOT NULL
)
SELECT name FROM names WHERE name IS NOT NULL;

-- name: group_figures
-- One group: its size, counted up to :most, its oldest and its newest member.
SELECT (SELECT count(*) FROM (SELECT 1 FROM tasks
            WHERE queue = :queue AND group_key = :group AND state = 'aggregating' AND batch = '' LIMIT :most)),
       (SELECT min(at) FROM tasks
        WHERE queue = :queue AND group_key = :group AND state = 'aggregating' AND batch = ''),
       (SELECT max(at) FROM tasks
        WHERE queue = :queue AND group_key = :group AND state = 'aggregating' AND batch = '');

-- name: flushed_groups
-- The groups of a queue that were flushed.
SELECT group_key, until FROM flushed_groups WHERE queue = :queue;

-- name: flush_group
-- The members that a group has now are ripe.
INSERT INTO flushed_groups (queue, group_key, until) VALUES (:queue, :group, :until)
ON CONFLICT (queue, group_key) DO UPDATE SET until = excluded.until;

-- name: forget_flush
-- Those who were there are gone.
DELETE FROM flushed_groups WHERE queue = :queue AND group_key = :group;

-- name: oldest_members
-- The members of a group that come first.
SELECT key, queue, id, unique_key, message FROM tasks
WHERE queue = :queue AND group_key = :group AND state = 'aggregating' AND batch = ''
ORDER BY at, seq LIMIT :limit;

-- name: claim_member
-- A member becomes part of a batch.
UPDATE tasks SET batch = ? WHERE key = ?;

-- name: release_member
-- A member goes back to its group, as old as it was.
UPDATE tasks SET batch = '', seq = ? WHERE key = ?;

-- name: insert_batch
-- A batch is claimed.
INSERT INTO batches (key, id, queue, group_key, expires_at) VALUES (:key, :id, :queue, :group, :expires_at);

-- name: batch_exists
-- Whether a batch is still claimed.
SELECT 1 FROM batches WHERE id = :batch AND queue = :queue;

-- name: stale_batches
-- Batches whose time ran out.
SELECT id FROM batches WHERE queue = :queue AND expires_at <= :now ORDER BY key;

-- name: next_stale
-- When the next batch's time runs out.
SELECT min(expires_at) FROM batches WHERE queue = :queue;

-- name: batch_members
-- The tasks of a batch, oldest first.
SELECT key, queue, id, unique_key FROM tasks WHERE batch = :batch AND batch <> '' ORDER BY at, seq;

-- name: delete_batch
-- A batch is over.
DELETE FROM batches WHERE id = :batch;

-- name: beat
-- A server says that it is there.
INSERT INTO servers (id, card, until) VALUES (:id, :card, :until)
ON CONFLICT (id) DO UPDATE SET card = excluded.card, until = excluded.until;

-- name: leave
-- A server says goodbye.
DELETE FROM servers WHERE id = :id;

-- name: purge_servers
-- Forget servers that were silent for too long.
DELETE FROM servers WHERE until <= :now;

-- name: servers
-- The servers, in the order in which they came.
SELECT card FROM servers ORDER BY key;

-- name: insert_cancel
-- Somebody wants a task canceled.
INSERT INTO cancels (seq, queue, id, at, archive) VALUES (:seq, :queue, :id, :at, :archive);

-- name: cancels_since
-- Cancellations after one that was seen.
SELECT seq, queue, id, archive FROM cancels WHERE seq > :seq ORDER BY seq;

-- name: purge_cancels
-- Forget cancellations that everybody has had time to read.
DELETE FROM cancels WHERE at <= :old;

-- name: listeners
-- Who wants to be told.
SELECT name, ended FROM listeners;

-- name: listen
-- A process wants to be told.
INSERT INTO listeners (name, ended) VALUES (:name, :ended)
ON CONFLICT (name) DO UPDATE SET ended = excluded.ended;

-- name: unlisten
-- A process does not want to be told any more, or is gone.
DELETE FROM listeners WHERE name = :name;

-- name: is_listening
-- Whether a process is still known.
SELECT 1 FROM listeners WHERE name = :name;

-- name: data_version
-- A number that changes when somebody else has written.
PRAGMA data_version;

-- name: queues
-- All queues by name.
SELECT name FROM queues ORDER BY name;

-- name: queue
-- One queue's own figures.
SELECT paused, processed, failed, evicted, quarantined FROM queues WHERE name = :queue;

-- name: set_paused
-- Pause or resume; changes nothing when it is so already.
UPDATE queues SET paused = :paused WHERE name = :queue AND paused <> :paused;

-- name: pause_type
-- Nobody is to work on tasks of a type; changes nothing when it is so already.
INSERT INTO paused_types (queue, type, since) VALUES (:queue, :type, :since) ON CONFLICT DO NOTHING;

-- name: resume_type
-- Tasks of a type are worked on again.
DELETE FROM paused_types WHERE queue = :queue AND type = :type;

-- name: paused_types
-- The types that nobody is to work on.
SELECT type, since FROM paused_types WHERE queue = :queue ORDER BY type;

-- name: mean_size
-- How many bytes the first tasks of a state take, each.
SELECT avg(length(message) + coalesce(length(result), 0) + coalesce(length(progress), 0)) FROM (
    SELECT message, result, progress FROM tasks WHERE queue = :queue AND state = :state LIMIT :limit
);

-- name: drop_grouped
-- Remove the sizes of a queue's groups.
DELETE FROM grouped WHERE queue = :queue;

-- name: drop_types
-- Remove what is paused of a queue.
DELETE FROM paused_types WHERE queue = :queue;

-- name: tallies
-- How many tasks are in which state, and how many groups there are. Leases are few, so they are counted.
SELECT what, count FROM tallies WHERE queue = :queue
UNION ALL
SELECT 'active', count(*) FROM tasks WHERE queue = :queue AND state = 'active';

-- name: tally_pending
-- So many tasks more, or fewer, are pending: those that came in pending, or became active, of one transaction. The
-- triggers of migration 5 see to all else.
INSERT INTO tallies (queue, what, count) VALUES (:queue, 'pending', :count)
ON CONFLICT (queue, what) DO UPDATE SET count = count + excluded.count;

-- name: waiting_since
-- Since when the first tasks in line wait.
SELECT pending_since FROM tasks WHERE queue = :queue AND state = 'pending' ORDER BY at, seq LIMIT :limit;

-- name: day
-- The attempts of one day.
SELECT processed, failed FROM days WHERE queue = :queue AND day = :day;

-- name: groups
-- The groups that hold unclaimed tasks.
SELECT group_key, count(*), min(at), max(at) FROM tasks
WHERE queue = :queue AND state = 'aggregating' AND batch = ''
GROUP BY group_key ORDER BY group_key;

-- name: find
-- One task.
SELECT key, queue, id, unique_key, message, state, at, pending_since, batch, result, progress FROM tasks
WHERE queue = :queue AND id = :id;

-- name: list_earliest
-- Tasks of a state, earliest first.
SELECT key, queue, id, unique_key, message, state, at, pending_since, batch, result, progress FROM tasks
WHERE queue = :queue AND state = :state ORDER BY at, seq LIMIT :size OFFSET :offset;

-- name: list_latest
-- Tasks of a state, latest first.
SELECT key, queue, id, unique_key, message, state, at, pending_since, batch, result, progress FROM tasks
WHERE queue = :queue AND state = :state ORDER BY at DESC, seq DESC LIMIT :size OFFSET :offset;

-- name: list_active
-- Active tasks in the order in which they were taken.
SELECT key, queue, id, unique_key, message, state, at, pending_since, batch, result, progress FROM tasks
WHERE queue = :queue AND state = 'active' ORDER BY token, seq LIMIT :size OFFSET :offset;

-- name: list_grouped
-- Tasks of one group, or of all.
SELECT key, queue, id, unique_key, message, state, at, pending_since, batch, result, progress FROM tasks
WHERE queue = :queue AND state = 'aggregating' AND (:group = '' OR group_key = :group)
ORDER BY at, id LIMIT :size OFFSET :offset;

-- name: scan_earliest
-- Tasks of a state behind a place, earliest first; they end with the place they have.
SELECT key, queue, id, unique_key, message, state, at, pending_since, batch, result, progress, at, seq FROM tasks
WHERE queue = :queue AND state = :state AND (at, seq) > (:first, :second) ORDER BY at, seq LIMIT :size;

-- name: scan_latest
-- Tasks of a state behind a place, latest first.
SELECT key, queue, id, unique_key, message, state, at, pending_since, batch, result, progress, at, seq FROM tasks
WHERE queue = :queue AND state = :state AND (at, seq) < (:first, :second)
ORDER BY at DESC, seq DESC LIMIT :size;

-- name: scan_active
-- Active tasks behind a place, in the order in which they were taken. There are no more than servers can run.
SELECT key, queue, id, unique_key, message, state, at, pending_since, batch, result, progress, token, seq FROM tasks
WHERE queue = :queue AND state = 'active' AND (token, seq) > (:first, :second) ORDER BY token, seq LIMIT :size;

-- name: scan_grouped
-- Tasks of one group behind a place, claimed or not. Two ranges, so that each has its index.
SELECT * FROM (
    SELECT * FROM (SELECT key, queue, id, unique_key, message, state, at, pending_since, batch, result, progress, at, seq FROM tasks
                   WHERE queue = :queue AND group_key = :group AND state = 'aggregating' AND batch = ''
                     AND (at, seq) > (:first, :second) ORDER BY at, seq LIMIT :size)
    UNION ALL
    SELECT key, queue, id, unique_key, message, state, at, pending_since, batch, result, progress, at, seq FROM tasks
    WHERE batch IN (SELECT id FROM batches WHERE queue = :queue AND group_key = :group) AND batch <> ''
      AND (at, seq) > (:first, :second)
) ORDER BY at, seq LIMIT :size;

-- name: all_group_names
-- The groups that hold tasks, claimed or not.
SELECT group_key FROM tasks WHERE queue = :queue AND state = 'aggregating' AND batch = ''
UNION SELECT group_key FROM batches WHERE queue = :queue ORDER BY 1;

-- name: replace
-- A waiting task becomes another one of the same id, where it is.
UPDATE tasks SET message = :message, unique_key = :unique_key, group_key = :group, result = NULL, progress = NULL
WHERE key = :key;

-- name: rewrite
-- A task gets another payload.
UPDATE tasks SET message = :message, unique_key = :unique_key WHERE key = :key;

-- name: lock_until
-- Until when a task holds a uniqueness lock.
SELECT until FROM locks WHERE queue = :queue AND key = :key AND id = :id AND until > :now;

-- name: transfer
-- A task goes to another queue.
UPDATE tasks SET queue = :queue, message = :message, unique_key = :unique_key, at = :at, seq = :seq,
    pending_since = :since
WHERE key = :key;

-- name: integrity
-- Whether the file is whole: 'ok', or some of what is wrong.
PRAGMA quick_check(5);

-- name: journal_mode
-- How changes are written.
PRAGMA journal_mode;

-- name: batches_left
-- Batches that should have been given back a while ago.
SELECT queue, count(*) FROM batches WHERE expires_at <= :old GROUP BY queue;

-- name: late_servers
-- Servers that have not shown themselves for a while, and will not be shown any more soon.
SELECT id FROM servers WHERE until > :now AND until <= :soon ORDER BY key;

-- name: miscounted
-- Queues whose tallies differ from what is there.
SELECT DISTINCT queue FROM (
    SELECT queue, state AS what, count(*) AS count FROM tasks WHERE state <> 'active' GROUP BY queue, state
    UNION ALL
    SELECT queue, what, -count FROM tallies WHERE what <> 'groups'
) GROUP BY queue, what HAVING sum(count) <> 0 ORDER BY queue;

-- name: forget_grouped
-- Before counting again.
DELETE FROM grouped;

-- name: forget_tallies
-- Before counting again.
DELETE FROM tallies;

-- name: count_tallies
-- Count the tasks of every state.
INSERT INTO tallies SELECT queue, state, count(*) FROM tasks WHERE state <> 'active' GROUP BY queue, state;

-- name: count_grouped
-- Count the members of groups; a trigger counts the groups.
INSERT INTO grouped SELECT queue, group_key, count(*) FROM tasks WHERE state = 'aggregating' AND batch = ''
GROUP BY queue, group_key;

-- name: drop_tasks
-- Remove some of a queue's tasks.
DELETE FROM tasks WHERE key IN (SELECT key FROM tasks WHERE queue = :queue LIMIT :limit);

-- name: drop_flushed
-- Remove the marks of a queue's flushed groups.
DELETE FROM flushed_groups WHERE queue = :queue;

-- name: drop_batches
-- Remove a queue's claimed batches.
DELETE FROM batches WHERE queue = :queue;

-- name: drop_locks
-- Remove a queue's locks.
DELETE FROM locks WHERE queue = :queue;

-- name: drop_days
-- Remove a queue's daily figures.
DELETE FROM days WHERE queue = :queue;

-- name: drop_schedules
-- Forget the schedules of a queue.
DELETE FROM schedules WHERE queue = :queue;

-- name: drop_tallies
-- Remove a queue's figures.
DELETE FROM tallies WHERE queue = :queue;

-- name: drop_queue
-- Remove a queue itself.
DELETE FROM queues WHERE name = :queue;

-- name: register_schedule
-- A scheduler serves a schedule now; one that is new is known from now on.
INSERT INTO schedules (queue, id, since, met_at) VALUES (:queue, :id, :now, :now)
ON CONFLICT (queue, id) DO UPDATE SET met_at = excluded.met_at;

-- name: schedule_state
-- What is known of a schedule.
SELECT last, paused, since, met_at FROM schedules WHERE queue = :queue AND id = :id;

-- name: schedule_states
-- What is known of the schedules of a queue.
SELECT id, last, paused, since, met_at FROM schedules WHERE queue = :queue ORDER BY id;

-- name: take_tick
-- Take a tick, if it is later than the last one and the schedule is not paused.
INSERT INTO schedules (queue, id, last, since, met_at) VALUES (:queue, :id, :tick, :now, :now)
ON CONFLICT (queue, id) DO UPDATE SET last = excluded.last
WHERE NOT paused AND (last IS NULL OR last < excluded.last);

-- name: pause_schedule
-- A schedule takes no ticks; changes nothing when it is so already.
INSERT INTO schedules (queue, id, paused, since, met_at) VALUES (:queue, :id, 1, :now, :now)
ON CONFLICT (queue, id) DO UPDATE SET paused = 1 WHERE NOT paused;

-- name: resume_schedule
-- A schedule goes on; its ticks until now are not made up.
UPDATE schedules SET paused = 0, since = :now WHERE queue = :queue AND id = :id AND paused;

-- name: forget_schedule
-- Drop what is known of a schedule that nobody has met for long.
DELETE FROM schedules WHERE queue = :queue AND id = :id AND met_at <= :before;

-- name: insert_fire
-- A schedule has put a task in.
INSERT INTO fires (schedule, seq, task, at) VALUES (:schedule, :seq, :task, :at);

-- name: trim_fires
-- Keep the newest events of a schedule.
DELETE FROM fires WHERE schedule = :schedule AND seq <= (
    SELECT seq FROM fires WHERE schedule = :schedule ORDER BY seq DESC LIMIT 1 OFFSET :kept);

-- name: purge_fires
-- Forget the events of schedules whose last one is old.
DELETE FROM fires WHERE schedule IN (SELECT schedule FROM fires GROUP BY schedule HAVING max(at) <= :old);

-- name: newest_fire
-- When a schedule put in its last task.
SELECT at FROM fires WHERE schedule = :schedule ORDER BY seq DESC LIMIT 1;

-- name: fires
-- What a schedule has put in, newest first.
SELECT task, at FROM fires WHERE schedule = :schedule ORDER BY seq DESC LIMIT :size OFFSET :offset;

-- name: beat_scheduler
-- A scheduler says that it is there.
INSERT INTO schedulers (id, card, until) VALUES (:id, :card, :until)
ON CONFLICT (id) DO UPDATE SET card = excluded.card, until = excluded.until;

-- name: leave_scheduler
-- A scheduler says goodbye.
DELETE FROM schedulers WHERE id = :id;

-- name: purge_schedulers
-- Forget schedulers that were silent for too long.
DELETE FROM schedulers WHERE until <= :now;

-- name: schedulers
-- The schedulers, in the order in which they came.
SELECT card FROM schedulers ORDER BY key;
