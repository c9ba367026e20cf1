-- Flushed groups: a group is ripe while it has an unclaimed member that joined at `until` or earlier.
CREATE TABLE flushed_groups (
    queue     TEXT NOT NULL,
    group_key TEXT NOT NULL,
    until     REAL NOT NULL,
    PRIMARY KEY (queue, group_key)
) WITHOUT ROWID;
