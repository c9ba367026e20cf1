-- Schedules: their states, their events, and the schedulers that serve them.

CREATE TABLE schedules (
    queue  TEXT NOT NULL,
    id     TEXT NOT NULL,
    -- The last tick taken; NULL: none yet.
    last   REAL,
    paused INTEGER NOT NULL DEFAULT 0,
    -- Ticks up to this time are skipped.
    since  REAL NOT NULL,
    -- When a scheduler last registered it.
    met_at REAL NOT NULL,
    PRIMARY KEY (queue, id)
) WITHOUT ROWID;

CREATE TABLE fires (
    schedule TEXT NOT NULL,
    seq      INTEGER NOT NULL,
    task     TEXT NOT NULL,
    at       REAL NOT NULL,
    PRIMARY KEY (schedule, seq)
) WITHOUT ROWID;

-- `card` is a SchedulerInfo in MessagePack.
CREATE TABLE schedulers (
    key   INTEGER PRIMARY KEY,
    id    TEXT NOT NULL UNIQUE,
    card  BLOB NOT NULL,
    until REAL NOT NULL
);
