-- Write a server's heartbeat: the messages that Go's inspectors read, and our complete record.
--
-- KEYS  1 server · 2 its workers · 3 server record (ours)
--       4 asynq:servers · 5 asynq:workers (not in a cluster: they are in other slots)
-- ARGV  1 time to live, seconds · 2 end of validity · 3 ServerInfo · 4 server record
--       then per running task: id, WorkerInfo
-- Redis keeps our record one minute longer: asynq:servers holds the time until which it is valid.
-- Cost  O(running tasks)
redis.call('DEL', KEYS[2]) -- first, so that Redis accepts the other writes at maxmemory
redis.call('SET', KEYS[1], ARGV[3], 'EX', ARGV[1])
redis.call('SET', KEYS[3], ARGV[4], 'EX', ARGV[1] + 60)
for at = 5, #ARGV, 200 do
  redis.call('HSET', KEYS[2], unpack(ARGV, at, math.min(at + 199, #ARGV)))
end
redis.call('EXPIRE', KEYS[2], ARGV[1])
if KEYS[4] then
  redis.call('ZADD', KEYS[4], ARGV[2], KEYS[1])
  redis.call('ZADD', KEYS[5], ARGV[2], KEYS[2])
end
