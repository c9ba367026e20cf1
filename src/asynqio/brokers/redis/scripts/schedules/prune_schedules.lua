-- Delete the records of schedules that no scheduler has registered for a while.
--
-- KEYS  1 schedules (asynqio:cron)
-- ARGV  1 before, seconds, or inf · 2… schedule ids
-- Returns how many were deleted.
-- Cost  O(ids)
local pruned = 0
for at = 2, #ARGV do
  local id = ARGV[at]
  local met = redis.call('HGET', KEYS[1], 'met:' .. id)
  if met and (ARGV[1] == 'inf' or tonumber(met) <= tonumber(ARGV[1])) then
    redis.call('HDEL', KEYS[1], 'last:' .. id, 'held:' .. id, 'since:' .. id, 'met:' .. id)
    pruned = pruned + 1
  end
end
return pruned
