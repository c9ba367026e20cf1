-- Replace a task's message if it is still the one that was read; move its lock (corrects B36).
--
-- KEYS  1 the task's hash
-- ARGV  1 the message that was read · 2 the new one · 3 id · 4 old lock or '' · 5 new lock · 6 queue prefix
--       7 now, seconds · 8 archive cutoff, seconds
-- Returns '1' done, '0' not found, '2' not allowed in its state, '3' the message has changed: read it again.
-- Cost  O(1). include: lib/unique_lock
local task = redis.call('HMGET', KEYS[1], 'state', 'msg')
local state = task[1]
if not state or outlived(ARGV[6], ARGV[3], state, tonumber(ARGV[7]), ARGV[8]) then return '0' end
if state ~= 'scheduled' and state ~= 'retry' and state ~= 'pending' and state ~= 'archived' then return '2' end
if task[2] ~= ARGV[1] then return '3' end
redis.call('HSET', KEYS[1], 'msg', ARGV[2])
local old, new = ARGV[4], ARGV[5]
if old ~= '' and old ~= new then
  redis.call('HSET', KEYS[1], 'unique_key', new)
  if redis.call('GET', old) == ARGV[3] then
    local ttl = redis.call('PTTL', old)
    redis.call('DEL', old)
    if ttl > 0 and not read_lock(new, ARGV[6], tonumber(ARGV[7]), ARGV[8]) then
      redis.call('SET', new, ARGV[3], 'PX', ttl)
    end
  end
end
return '1'
