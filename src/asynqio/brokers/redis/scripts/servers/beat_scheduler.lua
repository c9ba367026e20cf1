-- Write a scheduler's heartbeat: the entries that Go's inspectors read, and our complete record.
--
-- KEYS  1 entries · 2 scheduler record (ours)
-- ARGV  1 time to live, seconds · 2 scheduler record · then one SchedulerEntry per entry
-- Redis keeps our record one minute longer: asynq:schedulers holds the time until which it is valid, by the scheduler's
-- clock.
-- Cost  O(entries)
redis.call('DEL', KEYS[1]) -- first, so that Redis accepts the other writes at maxmemory
redis.call('SET', KEYS[2], ARGV[2], 'EX', ARGV[1] + 60)
for at = 3, #ARGV, 200 do
  redis.call('LPUSH', KEYS[1], unpack(ARGV, at, math.min(at + 199, #ARGV)))
end
redis.call('EXPIRE', KEYS[1], ARGV[1])
