-- The first layout. Times are seconds since the epoch (UTC).

-- One number that only grows. Keys, places in line, lease tokens and cancellations are all taken from it, so
-- none is ever used twice.
CREATE TABLE counter (last INTEGER NOT NULL);
INSERT INTO counter VALUES (0);

CREATE TABLE queues (
    name        TEXT PRIMARY KEY,
    paused      INTEGER NOT NULL DEFAULT 0,
    processed   INTEGER NOT NULL DEFAULT 0,
    failed      INTEGER NOT NULL DEFAULT 0,
    -- Archived tasks dropped because the archive was full or they were too old.
    evicted     INTEGER NOT NULL DEFAULT 0,
    -- Tasks whose bytes could not be read and were archived for that.
    quarantined INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;

CREATE TABLE tasks (
    key           INTEGER PRIMARY KEY,
    queue         TEXT NOT NULL,
    id            TEXT NOT NULL,
    state         TEXT NOT NULL,
    -- active: lease expiry. scheduled, retry: due. completed: expiry. archived, aggregating: since. pending: 0.
    at            REAL NOT NULL,
    -- Order among equal times, by arrival in the state; below 0: put at the front. An active task keeps the
    -- place it had while it was pending.
    seq           INTEGER NOT NULL,
    -- Which dequeue leased it; 0 when it is not active.
    token         INTEGER NOT NULL DEFAULT 0,
    owner         TEXT NOT NULL DEFAULT '',
    pending_since REAL NOT NULL DEFAULT 0,
    group_key     TEXT NOT NULL DEFAULT '',
    -- The claimed batch that an aggregating task is part of.
    batch         TEXT NOT NULL DEFAULT '',
    unique_key    TEXT NOT NULL DEFAULT '',
    message       BLOB NOT NULL,
    result        BLOB,
    progress      BLOB,
    UNIQUE (queue, id)
);
CREATE INDEX tasks_in_line ON tasks (queue, state, at, seq);
-- Partial, so they cost nothing to the tasks that belong to no group.
CREATE INDEX tasks_grouped ON tasks (queue, group_key, at, seq) WHERE state = 'aggregating' AND batch = '';
CREATE INDEX tasks_batched ON tasks (batch) WHERE batch <> '';

CREATE TABLE locks (
    queue TEXT NOT NULL,
    key   TEXT NOT NULL,
    id    TEXT NOT NULL,
    until REAL NOT NULL,
    PRIMARY KEY (queue, key)
) WITHOUT ROWID;

CREATE TABLE batches (
    key        INTEGER PRIMARY KEY,
    id         TEXT NOT NULL UNIQUE,
    queue      TEXT NOT NULL,
    group_key  TEXT NOT NULL,
    expires_at REAL NOT NULL
);
CREATE INDEX batches_by_queue ON batches (queue, key);

-- `day` counts days since the epoch.
CREATE TABLE days (
    queue     TEXT NOT NULL,
    day       INTEGER NOT NULL,
    processed INTEGER NOT NULL,
    failed    INTEGER NOT NULL,
    PRIMARY KEY (queue, day)
) WITHOUT ROWID;

-- `card` is MessagePack.
CREATE TABLE servers (
    key   INTEGER PRIMARY KEY,
    id    TEXT NOT NULL UNIQUE,
    card  BLOB NOT NULL,
    until REAL NOT NULL
);

CREATE TABLE cancels (
    seq   INTEGER PRIMARY KEY,
    queue TEXT NOT NULL,
    id    TEXT NOT NULL,
    at    REAL NOT NULL
);

-- Sockets of processes that want to be told. A plain name lies beside the database, a path is a path.
CREATE TABLE listeners (
    name  TEXT PRIMARY KEY,
    -- Whether somebody there waits for tasks to end.
    ended INTEGER NOT NULL
) WITHOUT ROWID;
