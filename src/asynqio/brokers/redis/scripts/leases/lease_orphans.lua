-- Give active tasks without a lease, which would never be recovered (B8), a lapsed one when they are seen twice.
--
-- KEYS  1 active · 2 lease
-- ARGV  1 expiry for them, seconds · 2 how many of the oldest to check · 3 task prefix · 4… the ids seen before
-- Returns the ids without a lease that were not seen before. A client that moved a task here without a lease may not
-- have written its state either.
-- Cost  O(tasks checked + ids seen before). include: lib/write_when_full
local seen, found = {}, {}
write_when_full(KEYS[1])
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
