-- Documents and logs.

-- name: collection_revision
-- The revision of a collection.
SELECT revision FROM collections WHERE name = :name;

-- name: collection_documents
-- The documents of a collection.
SELECT name, data FROM documents WHERE collection = :name;

-- name: put_document
-- Store a document.
INSERT INTO documents (collection, name, data) VALUES (:collection, :name, :data)
ON CONFLICT (collection, name) DO UPDATE SET data = excluded.data;

-- name: delete_document
-- Delete a document.
DELETE FROM documents WHERE collection = :collection AND name = :name;

-- name: set_revision
-- Set the revision of a collection.
INSERT INTO collections (name, revision) VALUES (:name, :revision)
ON CONFLICT (name) DO UPDATE SET revision = excluded.revision;

-- name: last_log_number
-- The number of the newest entry of a log.
SELECT number FROM log_entries WHERE log = :log ORDER BY number DESC LIMIT 1;

-- name: append_log
-- Append an entry to a log.
INSERT INTO log_entries (log, number, at, data) VALUES (:log, :number, :at, :data);

-- name: trim_log_by_number
-- Delete the entries up to a number.
DELETE FROM log_entries WHERE log = :log AND number <= :number;

-- name: trim_log_by_age
-- Delete the oldest entries that are older than a time, except the newest entry.
DELETE FROM log_entries WHERE log = :log AND number < :newest AND number IN (
    SELECT number FROM (SELECT number, at FROM log_entries WHERE log = :log ORDER BY number LIMIT :limit)
    WHERE at < :before);

-- name: read_log
-- The newest entries of a log below a number.
SELECT number, at, data FROM log_entries WHERE log = :log AND number < :before ORDER BY number DESC LIMIT :limit;
