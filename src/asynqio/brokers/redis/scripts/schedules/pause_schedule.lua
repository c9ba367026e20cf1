-- Pause or resume a schedule.
--
-- KEYS  1 schedules (asynqio:cron)
-- ARGV  1 schedule id · 2 paused: 1 or 0 · 3 now, seconds
-- Returns 1, or 0 if nothing changed.
-- Cost  O(1). include: lib/write_when_full
write_when_full(KEYS[1])
local id = ARGV[1]
if ARGV[2] == '1' then
  if redis.call('HSETNX', KEYS[1], 'held:' .. id, ARGV[3]) == 0 then return 0 end
  redis.call('HSETNX', KEYS[1], 'since:' .. id, ARGV[3])
  redis.call('HSETNX', KEYS[1], 'met:' .. id, ARGV[3])
  return 1
end
if redis.call('HDEL', KEYS[1], 'held:' .. id) == 0 then return 0 end
redis.call('HSET', KEYS[1], 'since:' .. id, ARGV[3])
return 1
