-- Record enqueue events of a schedule. Unlike Go's, the history expires some time after the last event (B22).
--
-- KEYS  1 history of the schedule
-- ARGV  1 events to keep · 2 time to live, seconds · then per event: when, seconds, and SchedulerEnqueueEvent
-- Cost  O(events · log kept)
for at = 3, #ARGV, 2 do
  redis.call('ZADD', KEYS[1], ARGV[at], ARGV[at + 1])
end
redis.call('ZREMRANGEBYRANK', KEYS[1], 0, -tonumber(ARGV[1]) - 1)
redis.call('EXPIRE', KEYS[1], ARGV[2])
