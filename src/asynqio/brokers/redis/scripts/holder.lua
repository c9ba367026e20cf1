-- Who holds a uniqueness lock (spec 5); changes nothing.
--
-- KEYS  1 the lock
-- ARGV  1 queue prefix · 2 now, seconds
-- Gives {id, its exact end or false, milliseconds that Redis keeps it}; false when nobody holds it.
-- Cost  O(1). include: lib_lock
local holder = locked(KEYS[1], ARGV[1], tonumber(ARGV[2]))
if not holder then return false end
return {holder, redis.call('HGET', ARGV[1] .. 't:' .. holder, 'asynqio:unique'), redis.call('PTTL', KEYS[1])}
