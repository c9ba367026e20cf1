-- The first version of the schema. Times are seconds since the epoch (UTC).

-- A number that only grows. Keys, positions, lease tokens and cancellations are taken from it, so that none is used
-- twice.
CREATE TABLE counter (last INTEGER NOT NULL);
INSERT INTO counter VALUES (0);

CREATE TABLE queues (
    name        TEXT PRIMARY KEY,
    paused      INTEGER NOT NULL DEFAULT 0,
    processed   INTEGER NOT NULL DEFAULT 0,
    failed      INTEGER NOT NULL DEFAULT 0,
    -- Archived tasks evicted because the archive was full or they were too old.
    evicted     INTEGER NOT NULL DEFAULT 0,
    -- Tasks archived because their bytes could not be decoded.
    quarantined INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;

CREATE TABLE tasks (
    key           INTEGER PRIMARY KEY,
    queue         TEXT NOT NULL,
    id            TEXT NOT NULL,
    state         TEXT NOT NULL,
    -- active: lease expiry. scheduled, retry: due. completed: expiry. archived, aggregating: since. pending: 0.
    at            REAL NOT NULL,
    -- Order among equal times, by arrival in the state; negative at the front. An active task keeps the position that
    -- it had while pending.
    seq           INTEGER NOT NULL,
    -- The number of the dequeue that leased it; 0 when it is not active.
    token         INTEGER NOT NULL DEFAULT 0,
    owner         TEXT NOT NULL DEFAULT '',
    pending_since REAL NOT NULL DEFAULT 0,
    group_key     TEXT NOT NULL DEFAULT '',
    -- The claimed batch that an aggregating task belongs to.
    batch         TEXT NOT NULL DEFAULT '',
    unique_key    TEXT NOT NULL DEFAULT '',
    message       BLOB NOT NULL,
    result        BLOB,
    progress      BLOB,
    UNIQUE (queue, id)
);
CREATE INDEX tasks_in_line ON tasks (queue, state, at, seq);
-- Partial indexes: tasks without a group have no entry in them.
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

-- `card` is a ServerInfo in MessagePack.
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

-- Sockets of processes to notify: a file name beside the database, or an absolute path.
CREATE TABLE listeners (
    name  TEXT PRIMARY KEY,
    -- Whether to notify of single tasks: 0, 1 (ends) or 2 (every change).
    ended INTEGER NOT NULL
) WITHOUT ROWID;
