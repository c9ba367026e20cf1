-- Scan the tasks of a state, page by page.

-- name: scan_earliest
-- Tasks of a state behind a position, earliest first. The last two columns are the position of the row.
SELECT key, queue, id, unique_key, message, state, at, pending_since, batch, result, progress, at, seq FROM tasks
WHERE queue = :queue AND state = :state AND (at, seq) > (:first, :second) ORDER BY at, seq LIMIT :size;

-- name: scan_latest
-- Tasks of a state behind a position, latest first.
SELECT key, queue, id, unique_key, message, state, at, pending_since, batch, result, progress, at, seq FROM tasks
WHERE queue = :queue AND state = :state AND (at, seq) < (:first, :second)
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
