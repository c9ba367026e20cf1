-- Drop what is known of schedules that nobody has met for long.
--
-- KEYS  1 schedules (asynqio:cron)
-- ARGV  1 before, seconds, or inf · 2… schedule ids
-- Returns how many there were.
-- Cost  O(ids)
local dropped = 0
for at = 2, #ARGV do
  local id = ARGV[at]
  local met = redis.call('HGET', KEYS[1], 'met:' .. id)
  if met and (ARGV[1] == 'inf' or tonumber(met) <= tonumber(ARGV[1])) then
    redis.call('HDEL', KEYS[1], 'last:' .. id, 'held:' .. id, 'since:' .. id, 'met:' .. id)
    dropped = dropped + 1
  end
end
return dropped
