-- A server says that it is there (spec 3.12): what Go reads of it, and its whole card.
--
-- KEYS  1 server · 2 its workers · 3 its card (ours)
-- ARGV  1 seconds to live · 2 ServerInfo · 3 card · then per running task: id, WorkerInfo
-- The card stays a minute longer: until when it is valid stands in asynq:servers, by the clock of the server.
-- Cost  O(running tasks)
redis.call('SET', KEYS[1], ARGV[2], 'EX', ARGV[1])
redis.call('SET', KEYS[3], ARGV[3], 'EX', ARGV[1] + 60)
redis.call('DEL', KEYS[2])
for at = 4, #ARGV, 200 do
  redis.call('HSET', KEYS[2], unpack(ARGV, at, math.min(at + 199, #ARGV)))
end
redis.call('EXPIRE', KEYS[2], ARGV[1])
