-- A scheduler says that it is there (spec 3.12): its entries for Go's inspectors, and its whole card.
--
-- KEYS  1 entries · 2 its card (ours)
-- ARGV  1 seconds to live · 2 card · then a SchedulerEntry per entry
-- The card stays a minute longer: until when it is valid stands in asynq:schedulers, by the clock of the scheduler.
-- Cost  O(entries)
redis.call('SET', KEYS[2], ARGV[2], 'EX', ARGV[1] + 60)
redis.call('DEL', KEYS[1])
for at = 3, #ARGV, 200 do
  redis.call('LPUSH', KEYS[1], unpack(ARGV, at, math.min(at + 199, #ARGV)))
end
redis.call('EXPIRE', KEYS[1], ARGV[1])
