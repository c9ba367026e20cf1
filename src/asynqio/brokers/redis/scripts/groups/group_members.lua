-- Read a page of the members of groups and batches of one queue; changes nothing.
--
-- KEYS  the members of groups and batches
-- ARGV  1 first and 2 last position, counted from 0
-- Returns id and score alternately, per key.
-- Cost  O(keys · (log members + last - first))
local answer = {}
for at, key in ipairs(KEYS) do answer[at] = redis.call('ZRANGE', key, ARGV[1], ARGV[2], 'WITHSCORES') end
return answer
