-- Read the size and age of groups of one queue; changes nothing.
--
-- KEYS  the members of each group
-- Returns {size, oldest, newest} per group; false for an empty one.
-- Cost  O(groups · log members)
local answer = {}
for at, key in ipairs(KEYS) do
  local size = redis.call('ZCARD', key)
  answer[at] = size > 0 and {
    size,
    redis.call('ZRANGE', key, 0, 0, 'WITHSCORES')[2],
    redis.call('ZRANGE', key, -1, -1, 'WITHSCORES')[2],
  } or false
end
return answer
