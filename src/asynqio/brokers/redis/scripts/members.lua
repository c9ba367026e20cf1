-- Which tasks wait in groups of one queue, claimed or not.
--
-- KEYS  the members of groups and batches
-- Gives id and score in turns, per key.
-- Cost  O(members · log members)
local answer = {}
for at, key in ipairs(KEYS) do answer[at] = redis.call('ZRANGE', key, 0, -1, 'WITHSCORES') end
return answer
