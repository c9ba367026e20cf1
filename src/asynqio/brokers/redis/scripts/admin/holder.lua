-- Who holds a uniqueness lock (spec 5); changes nothing.
--
-- KEYS  1 the lock
-- ARGV  1 queue prefix · 2 now, seconds
-- Returns {id, its exact end or false, milliseconds that Redis keeps it}; false when nobody holds it.
-- Cost  O(1). include: lib_lock
local holder, _, ends = locked(KEYS[1], ARGV[1], tonumber(ARGV[2]))
if not holder then return false end
return {holder, ends, redis.call('PTTL', KEYS[1])}
