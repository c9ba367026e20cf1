-- Read, move, change and delete tasks, and scan them page by page.

-- name: find_task
-- One task, outlived (see storage/rows.py) or not.
SELECT key, queue, id, unique_key, message, state, at, pending_since, batch, result, progress FROM tasks
WHERE queue = :queue AND id = :id;

-- name: change_state
-- Move a task to another state, with its message unchanged.
UPDATE tasks SET state = ?, at = ?, seq = ?, pending_since = ?, token = 0, owner = '', batch = ''
WHERE key = ?;

-- name: update_payload
-- Store a message with another payload.
UPDATE tasks SET message = :message, unique_key = :unique_key WHERE key = :key;

-- name: transfer_task
-- Move a task to another queue.
UPDATE tasks SET queue = :queue, message = :message, unique_key = :unique_key, at = :at, seq = :seq,
    pending_since = :since
WHERE key = :key;

-- name: delete_tasks
-- Delete tasks.
DELETE FROM tasks WHERE key IN (SELECT value FROM json_each(:keys));

-- name: list_earliest
-- Tasks of a state, earliest first.
SELECT key, queue, id, unique_key, message, state, at, pending_since, batch, result, progress FROM tasks
WHERE queue = :queue AND state = :state ORDER BY at, seq LIMIT :size OFFSET :offset;

-- name: list_latest
-- Tasks of a state that are newer than :after, latest first.
SELECT key, queue, id, unique_key, message, state, at, pending_since, batch, result, progress FROM tasks
WHERE queue = :queue AND state = :state AND at > :after ORDER BY at DESC, seq DESC LIMIT :size OFFSET :offset;

-- name: list_active
-- Active tasks, in the order in which they were leased.
SELECT key, queue, id, unique_key, message, state, at, pending_since, batch, result, progress FROM tasks
WHERE queue = :queue AND state = 'active' ORDER BY token, seq LIMIT :size OFFSET :offset;

-- name: list_grouped
-- Tasks of one group, or of all groups.
SELECT key, queue, id, unique_key, message, state, at, pending_since, batch, result, progress FROM tasks
WHERE queue = :queue AND state = 'aggregating' AND (:group = '' OR group_key = :group)
ORDER BY at, id LIMIT :size OFFSET :offset;

-- name: scan_earliest
-- Tasks of a state behind a position, earliest first. The last two columns are the position of the row.
SELECT key, queue, id, unique_key, message, state, at, pending_since, batch, result, progress, at, seq FROM tasks
WHERE queue = :queue AND state = :state AND (at, seq) > (:first, :second) ORDER BY at, seq LIMIT :size;

-- name: scan_latest
-- Tasks of a state behind a position that are newer than :after, latest first.
SELECT key, queue, id, unique_key, message, state, at, pending_since, batch, result, progress, at, seq FROM tasks
WHERE queue = :queue AND state = :state AND at > :after AND (at, seq) < (:first, :second)
ORDER BY at DESC, seq DESC LIMIT :size;

-- name: scan_active
-- Active tasks behind a position, in the order in which they were leased. There are never more than servers have slots.
SELECT key, queue, id, unique_key, message, state, at, pending_since, batch, result, progress, token, seq FROM tasks
WHERE queue = :queue AND state = 'active' AND (token, seq) > (:first, :second) ORDER BY token, seq LIMIT :size;

-- name: scan_grouped
-- Tasks of one group behind a position, claimed or not. Two ranges, so that each uses its index.
SELECT * FROM (
    SELECT * FROM (SELECT key, queue, id, unique_key, message, state, at, pending_since, batch, result, progress, at, seq FROM tasks
                   WHERE queue = :queue AND group_key = :group AND state = 'aggregating' AND batch = ''
                     AND (at, seq) > (:first, :second) ORDER BY at, seq LIMIT :size)
    UNION ALL
    SELECT key, queue, id, unique_key, message, state, at, pending_since, batch, result, progress, at, seq FROM tasks
    WHERE batch IN (SELECT id FROM batches WHERE queue = :queue AND group_key = :group) AND batch <> ''
      AND (at, seq) > (:first, :second)
) ORDER BY at, seq LIMIT :size;
