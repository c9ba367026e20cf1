-- Record that a scheduler serves these schedules of one queue, and read their state.
--
-- KEYS  1 schedules (asynqio:cron)
-- ARGV  1 now, seconds · 2… schedule ids
-- Returns {last, held, since, met} per id; false for a missing value.
-- Cost  O(ids). include: lib/write_when_full
write_when_full(KEYS[1])
local answers = {}
for at = 2, #ARGV do
  local id = ARGV[at]
  redis.call('HSETNX', KEYS[1], 'since:' .. id, ARGV[1])
  redis.call('HSET', KEYS[1], 'met:' .. id, ARGV[1])
  answers[at - 1] = redis.call('HMGET', KEYS[1], 'last:' .. id, 'held:' .. id, 'since:' .. id, 'met:' .. id)
end
return answers
