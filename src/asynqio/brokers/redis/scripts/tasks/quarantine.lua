-- Quarantine an unreadable task (B7, B9): archive it with a readable message or, for an id without a task, delete the
-- id. Both are counted.
--
-- KEYS  1 active · 2 lease · 3 archived · 4 counts · 5 the task's hash · 6 the batch that contains it, if any
-- ARGV  1 id · 2 now, seconds · 3 '=' and the bytes found, or '' · 4 the replacement message
-- Returns 1, or 0 if the stored bytes have changed.
-- Cost  O(active)
local found = ARGV[3]
local task = redis.pcall('HMGET', KEYS[5], 'msg', 'state')
if (task[1] and '=' .. task[1] or '') ~= found then return 0 end
redis.call('LREM', KEYS[1], -1, ARGV[1])
redis.call('ZREM', KEYS[2], ARGV[1])
if KEYS[6] then redis.call('ZREM', KEYS[6], ARGV[1]) end
redis.call('HINCRBY', KEYS[4], 'quarantined', 1)
if found ~= '' then
  redis.call('ZADD', KEYS[3], ARGV[2], ARGV[1])
  redis.call('HSET', KEYS[5], 'msg', ARGV[4], 'state', 'archived')
  redis.call('HDEL', KEYS[5], 'asynqio:lease', 'asynqio:live', 'asynqio:strikes', 'pending_since', 'group')
elseif not task.err then
  redis.call('DEL', KEYS[5])
end
return 1
