-- Archive members of a batch. The claim ends with the last member.
--
-- KEYS  1 the batch · 2 aggregation_sets · 3 archived · 4… one task hash per member
-- ARGV  1 queue prefix · 2 now, seconds · 3 the group · 4 archive limit · 5 archive cutoff, seconds
--       then per member: id, msg
-- Returns 1, or 0 if the claim was lost.
-- Cost  O(members · log n). include: lib/trim_archive lib/write_when_full
local prefix, now, fresh = ARGV[1], ARGV[2], {}
if not redis.call('ZSCORE', KEYS[2], KEYS[1]) then return 0 end
write_when_full(KEYS[2])
for item = 1, #KEYS - 3 do
  local key, id = KEYS[item + 3], ARGV[2 * item + 4]
  if redis.call('ZREM', KEYS[1], id) == 1 and redis.call('EXISTS', key) == 1 then
    redis.call('ZADD', KEYS[3], now, id)
    redis.call('HSET', key, 'msg', ARGV[2 * item + 5], 'state', 'archived')
    local task = redis.call('HMGET', key, 'asynqio:strikes', 'unique_key')
    -- A suffix `started` or `ended` means that the lock is freed now.
    if (task[1] or ''):match('%a$') then unlock(task[2], id) end
    fresh[#fresh + 1] = id
  end
end
if redis.call('EXISTS', KEYS[1]) == 0 then
  redis.call('ZREM', KEYS[2], KEYS[1])
  redis.call('HDEL', prefix .. 'asynqio:group_failures', ARGV[3])
end
if #fresh > 0 then trim_archive(prefix, KEYS[3], tonumber(ARGV[4]), ARGV[5], #fresh + 100, fresh) end
return 1
