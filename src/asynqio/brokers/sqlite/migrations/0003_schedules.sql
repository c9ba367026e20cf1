-- Schedules: what is known of each, what they have put in, and who serves them.

CREATE TABLE schedules (
    queue  TEXT NOT NULL,
    id     TEXT NOT NULL,
    -- The last tick that was taken; NULL: none was.
    last   REAL,
    paused INTEGER NOT NULL DEFAULT 0,
    -- No tick up to then is made up.
    since  REAL NOT NULL,
    -- When a scheduler was last there to serve it.
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

-- `card` is MessagePack.
CREATE TABLE schedulers (
    key   INTEGER PRIMARY KEY,
    id    TEXT NOT NULL UNIQUE,
    card  BLOB NOT NULL,
    until REAL NOT NULL
);
