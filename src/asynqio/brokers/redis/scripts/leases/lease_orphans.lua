-- Give active tasks without a lease, which would never be recovered (B8), a lapsed one when they are seen twice.
--
-- KEYS  1 active · 2 lease · 3 deadlines, where Go before 0.22 keeps its running tasks by the end of their timeout
-- ARGV  1 expiry for them, seconds · 2 how many of the oldest to check · 3 task prefix · 4 deadlines after this (seconds)
--       are respected · 5… the ids seen before
-- Returns {the ids without a lease that were not seen before, how many tasks run on such Go servers, how many ids are
-- messages in the layout of Go before 0.18, which are left alone}. A client that moved a task here without a lease may
-- not have written its state either.
-- Cost  O(tasks checked + ids seen before). include: lib/old_message lib/write_when_full
local seen, found, old_servers, old_messages = {}, {}, 0, 0
write_when_full(KEYS[1])
for at = 5, #ARGV do seen[ARGV[at]] = true end
for _, id in ipairs(redis.call('LRANGE', KEYS[1], -ARGV[2], -1)) do
  if not redis.call('ZSCORE', KEYS[2], id) then
    local deadline = redis.call('ZSCORE', KEYS[3], id)
    local key = ARGV[3] .. id
    if deadline and tonumber(deadline) > tonumber(ARGV[4]) then
      old_servers = old_servers + 1
    elseif is_old_message(id) then
      old_messages = old_messages + 1
    elseif seen[id] then
      redis.call('ZREM', KEYS[3], id)
      redis.call('ZADD', KEYS[2], 'NX', ARGV[1], id)
      if type(redis.pcall('HGET', key, 'msg')) == 'string' then
        redis.call('HSET', key, 'state', 'active')
        redis.call('HDEL', key, 'pending_since')
      end
    else
      found[#found + 1] = id
    end
  end
end
return {found, old_servers, old_messages}
