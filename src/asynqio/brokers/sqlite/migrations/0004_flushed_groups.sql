-- Groups that somebody flushed: as long as a member waits that is as old as `until`, the group is ripe.
CREATE TABLE flushed_groups (
    queue     TEXT NOT NULL,
    group_key TEXT NOT NULL,
    until     REAL NOT NULL,
    PRIMARY KEY (queue, group_key)
) WITHOUT ROWID;
