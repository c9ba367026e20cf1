-- Groups and their batches.

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

-- name: flushed_until
-- Until when a group is flushed.
SELECT until FROM flushed_groups WHERE queue = :queue AND group_key = :group;

-- name: group_rules
-- Until when a set of rules is in use, and how far its index is complete.
SELECT until, built_to FROM group_rules WHERE queue = :queue AND rules = :rules;

-- name: save_group_rules
-- Note that a set of rules is in use.
INSERT INTO group_rules (queue, rules, until, built_to) VALUES (:queue, :rules, :until, :built_to)
ON CONFLICT (queue, rules) DO UPDATE SET until = excluded.until, built_to = excluded.built_to;

-- name: next_group_names
-- Names of groups after a name.
SELECT group_key FROM grouped WHERE queue = :queue AND group_key > :after ORDER BY group_key LIMIT :limit;

-- name: index_group
-- Add a group to an index, to be checked at once.
INSERT INTO group_due (queue, group_key, rules, due) VALUES (?, ?, ?, 0) ON CONFLICT DO NOTHING;

-- name: due_groups
-- Groups to check now.
SELECT group_key FROM group_due WHERE queue = :queue AND rules = :rules AND due <= :now ORDER BY due LIMIT :limit;

-- name: first_due
-- When to check the next group.
SELECT min(due) FROM group_due WHERE queue = :queue AND rules = :rules;

-- name: save_due
-- Note when to check a group next.
UPDATE group_due SET due = :due WHERE queue = :queue AND group_key = :group AND rules = :rules;

-- name: delete_due
-- Remove a group from an index.
DELETE FROM group_due WHERE queue = :queue AND group_key = :group AND rules = :rules;

-- name: unused_group_rules
-- A set of rules that is not in use any more.
SELECT rules FROM group_rules WHERE queue = :queue AND until <= :now LIMIT 1;

-- name: shrink_index
-- Delete up to :limit groups from an index.
DELETE FROM group_due WHERE queue = :queue AND rules = :rules AND group_key IN (
    SELECT group_key FROM group_due WHERE queue = :queue AND rules = :rules LIMIT :limit);

-- name: delete_group_rules
-- Delete a set of rules.
DELETE FROM group_rules WHERE queue = :queue AND rules = :rules;

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
SELECT id, group_key, oldest_at FROM batches WHERE queue = :queue AND expires_at <= :now ORDER BY key LIMIT :limit;

-- name: batch_members
-- The tasks of a batch, oldest first.
SELECT key, queue, id, unique_key, message FROM tasks WHERE batch = :batch AND batch <> '' ORDER BY at, seq;

-- name: archive_member
-- Archive a member of a batch, with another message.
UPDATE tasks SET state = 'archived', at = :now, seq = :seq, batch = '', message = :message WHERE key = :key;

-- name: delete_batch
-- Delete a batch.
DELETE FROM batches WHERE id = :batch;
