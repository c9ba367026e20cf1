-- Write a scheduler's heartbeat: the entries that Go's inspectors read, and our complete record.
--
-- KEYS  1 entries · 2 scheduler record (ours) · 3 asynq:schedulers (not in a cluster: it is in another slot)
-- ARGV  1 time to live, seconds · 2 end of validity · 3 scheduler record · then one SchedulerEntry per entry
-- Redis keeps our record one minute longer: asynq:schedulers holds the time until which it is valid, by the scheduler's
-- clock.
-- Cost  O(entries)
redis.call('DEL', KEYS[1]) -- first, so that Redis accepts the other writes at maxmemory
redis.call('SET', KEYS[2], ARGV[3], 'EX', ARGV[1] + 60)
for at = 4, #ARGV, 200 do
  redis.call('LPUSH', KEYS[1], unpack(ARGV, at, math.min(at + 199, #ARGV)))
end
redis.call('EXPIRE', KEYS[1], ARGV[1])
if KEYS[3] then redis.call('ZADD', KEYS[3], ARGV[2], KEYS[1]) end
