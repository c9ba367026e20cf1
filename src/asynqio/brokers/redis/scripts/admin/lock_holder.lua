-- Read which task holds a uniqueness lock; changes nothing.
--
-- KEYS  1 the lock
-- ARGV  1 queue prefix · 2 now, seconds · 3 archive cutoff, seconds
-- Returns {id, exact expiry or false, milliseconds that Redis keeps the lock}; false if the lock is free.
-- Cost  O(1). include: lib/unique_lock
local holder, _, ends = read_lock(KEYS[1], ARGV[1], tonumber(ARGV[2]), ARGV[3])
if not holder then return false end
return {holder, ends, redis.call('PTTL', KEYS[1])}
