-- Groups and their batches.

-- name: unclaimed_group_names
-- The groups of a queue that hold unclaimed tasks. Steps from one name to the next, so the cost does not grow with
-- the number of members.
WITH RECURSIVE names(name) AS (
    SELECT min(group_key) FROM tasks WHERE queue = :queue AND state = 'aggregating' AND batch = ''
    UNION ALL
    SELECT (SELECT min(group_key) FROM tasks
            WHERE queue = :queue AND state = 'aggregating' AND batch = '' AND group_key > name)
    FROM names WHERE name IS NOT NULL
)
SELECT name FROM names WHERE name IS NOT NULL;

-- name: group_names
-- All groups that hold tasks, claimed or not.
SELECT group_key FROM tasks WHERE queue = :queue AND state = 'aggregating' AND batch = ''
UNION SELECT group_key FROM batches WHERE queue = :queue ORDER BY 1;

-- name: groups
-- Stats of the groups that hold unclaimed tasks.
SELECT group_key, count(*), min(at), max(at) FROM tasks
WHERE queue = :queue AND state = 'aggregating' AND batch = ''
GROUP BY group_key ORDER BY group_key;

-- name: group_failures
-- The failures of the groups of a queue.
SELECT group_key, failures, error, failed_at, retry_at, oldest_at FROM group_failures WHERE queue = :queue;

-- name: group_failure
-- The failures of one group.
SELECT failures, error, failed_at, retry_at, oldest_at FROM group_failures
WHERE queue = :queue AND group_key = :group;

-- name: save_failure
-- Store the failures of a group.
INSERT INTO group_failures (queue, group_key, failures, error, failed_at, retry_at, oldest_at)
VALUES (:queue, :group, :failures, :error, :failed_at, :retry_at, :oldest_at)
ON CONFLICT (queue, group_key) DO UPDATE SET failures = excluded.failures, error = excluded.error,
    failed_at = excluded.failed_at, retry_at = excluded.retry_at, oldest_at = excluded.oldest_at;

-- name: delete_failure
-- Delete the failures of a group.
DELETE FROM group_failures WHERE queue = :queue AND group_key = :group;

-- name: delete_failure_merged
-- Delete the failures of a group, unless a member as old as the failed ones waits in it.
DELETE FROM group_failures AS failed WHERE queue = :queue AND group_key = :group AND NOT EXISTS (
    SELECT 1 FROM tasks WHERE queue = :queue AND group_key = :group AND state = 'aggregating' AND batch = ''
    AND at <= failed.oldest_at);

-- name: group_stats
-- Stats of one group: its size, counted up to :most, and the times of its oldest and newest member.
SELECT (SELECT count(*) FROM (SELECT 1 FROM tasks
            WHERE queue = :queue AND group_key = :group AND state = 'aggregating' AND batch = '' LIMIT :most)),
       (SELECT min(at) FROM tasks
        WHERE queue = :queue AND group_key = :group AND state = 'aggregating' AND batch = ''),
       (SELECT max(at) FROM tasks
        WHERE queue = :queue AND group_key = :group AND state = 'aggregating' AND batch = '');

-- name: flushed_groups
-- The flushed groups of a queue.
SELECT group_key, until FROM flushed_groups WHERE queue = :queue;

-- name: flush_group
-- Make the current members of a group ripe.
INSERT INTO flushed_groups (queue, group_key, until) VALUES (:queue, :group, :until)
ON CONFLICT (queue, group_key) DO UPDATE SET until = excluded.until;

-- name: delete_flush
-- Delete the mark of a flushed group: the members it covered are gone.
DELETE FROM flushed_groups WHERE queue = :queue AND group_key = :group;

-- name: oldest_members
-- The oldest members of a group.
SELECT key, queue, id, unique_key, message FROM tasks
WHERE queue = :queue AND group_key = :group AND state = 'aggregating' AND batch = ''
ORDER BY at, seq LIMIT :limit;

-- name: claim_member
-- Add a member to a batch.
UPDATE tasks SET batch = ? WHERE key = ?;

-- name: release_member
-- Return a member of a batch to its group, with its age unchanged.
UPDATE tasks SET batch = '', seq = ? WHERE key = ?;

-- name: insert_batch
-- Claim a batch.
INSERT INTO batches (key, id, queue, group_key, expires_at, oldest_at)
VALUES (:key, :id, :queue, :group, :expires_at, :oldest_at);

-- name: renew_batch
-- Extend the claim of a batch.
UPDATE batches SET expires_at = :expires_at WHERE id = :batch AND queue = :queue;

-- name: batch_exists
-- 1 if the batch is still claimed.
SELECT 1 FROM batches WHERE id = :batch AND queue = :queue;

-- name: expired_batches
-- Batches whose lease has expired.
SELECT id, group_key, oldest_at FROM batches WHERE queue = :queue AND expires_at <= :now ORDER BY key;

-- name: next_batch_expiry
-- When the lease of the next batch expires.
SELECT min(expires_at) FROM batches WHERE queue = :queue;

-- name: batch_members
-- The tasks of a batch, oldest first.
SELECT key, queue, id, unique_key, message FROM tasks WHERE batch = :batch AND batch <> '' ORDER BY at, seq;

-- name: archive_member
-- Archive a member of a batch, with another message.
UPDATE tasks SET state = 'archived', at = :now, seq = :seq, batch = '', message = :message WHERE key = :key;

-- name: delete_batch
-- Delete a batch.
DELETE FROM batches WHERE id = :batch;
