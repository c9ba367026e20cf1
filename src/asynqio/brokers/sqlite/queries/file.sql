-- The file itself: fresh numbers, pages, and what PRAGMA says of it.

-- name: next_numbers
-- Take :count fresh numbers; returns the last of them.
UPDATE counter SET last = last + :count RETURNING last;

-- name: last_number
-- The number taken last. It grows whenever a task changes its state.
SELECT last FROM counter;

-- name: data_version
-- A number that changes when another connection has committed.
PRAGMA data_version;

-- name: page_size
-- Bytes per page.
PRAGMA page_size;

-- name: pages_used
-- Number of pages that hold data.
SELECT page_count - freelist_count FROM pragma_page_count, pragma_freelist_count;

-- name: pages
-- Number of pages in the file.
SELECT page_count FROM pragma_page_count;

-- name: journal_mode
-- The journal mode.
PRAGMA journal_mode;

-- name: check_integrity
-- 'ok' for an intact file, else up to 5 problems.
PRAGMA quick_check(5);
