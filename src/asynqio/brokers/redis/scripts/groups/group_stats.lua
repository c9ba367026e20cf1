-- Read the size and age of groups of one queue; changes nothing.
--
-- KEYS  1 group_failures (ours) · 2… the members of each group
-- ARGV  the name of each group
-- Returns {size, oldest, newest, failures or false} per group; false for an empty one.
-- Cost  O(groups · log members)
local answer = {}
for at, group in ipairs(ARGV) do
  local key = KEYS[at + 1]
  local size = redis.call('ZCARD', key)
  answer[at] = size > 0 and {
    size,
    redis.call('ZRANGE', key, 0, 0, 'WITHSCORES')[2],
    redis.call('ZRANGE', key, -1, -1, 'WITHSCORES')[2],
    redis.call('HGET', KEYS[1], group),
  } or false
end
return answer
