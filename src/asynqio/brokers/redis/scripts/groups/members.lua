-- Which tasks wait in groups of one queue, claimed or not: some of each.
--
-- KEYS  the members of groups and batches
-- ARGV  1 and 2 the first and the last, counted from 0
-- Returns id and score in turns, per key.
-- Cost  O(keys · (log members + last - first))
local answer = {}
for at, key in ipairs(KEYS) do answer[at] = redis.call('ZRANGE', key, ARGV[1], ARGV[2], 'WITHSCORES') end
return answer
