-- Enqueue tasks.

-- name: ensure_queue
-- Create the queue if it does not exist.
INSERT INTO queues (name) VALUES (:queue) ON CONFLICT DO NOTHING;

-- name: insert_task
-- Insert a task; does nothing if its id exists.
INSERT INTO tasks (key, queue, id, state, at, seq, pending_since, group_key, unique_key, message)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (queue, id) DO NOTHING;

-- name: replace_task
-- Replace a waiting task in place with another one that keeps its id.
UPDATE tasks SET message = :message, unique_key = :unique_key, group_key = :group, result = NULL, progress = NULL
WHERE key = :key;

-- name: tally_pending
-- Add :count to the number of pending tasks: once per transaction, for the tasks enqueued as pending or leased.
-- The triggers of migration 5 count every other transition.
INSERT INTO tallies (queue, what, count) VALUES (:queue, 'pending', :count)
ON CONFLICT (queue, what) DO UPDATE SET count = count + excluded.count;
