-- Active tasks without a lease would never be recovered (B8): give those that were seen twice one that has lapsed.
--
-- KEYS  1 active · 2 lease
-- ARGV  1 expiry for them, seconds · 2 how many of the oldest to look at · 3 task prefix · 4… the ids that were seen
--       before
-- Who moved a task here without a lease may not have noted its state either.
-- Returns the ids that have no lease now.
-- Cost  O(tasks looked at + ids seen before)
local seen, found = {}, {}
for at = 4, #ARGV do seen[ARGV[at]] = true end
for _, id in ipairs(redis.call('LRANGE', KEYS[1], -ARGV[2], -1)) do
  if not redis.call('ZSCORE', KEYS[2], id) then
    if seen[id] then
      redis.call('ZADD', KEYS[2], 'NX', ARGV[1], id)
      local key = ARGV[3] .. id
      if type(redis.pcall('HGET', key, 'msg')) == 'string' then
        redis.call('HSET', key, 'state', 'active')
        redis.call('HDEL', key, 'pending_since')
      end
    else
      found[#found + 1] = id
    end
  end
end
return found
