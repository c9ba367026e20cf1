-- Append entries to a log, and delete old ones.
--
-- KEYS  1 log
-- ARGV  1 entries to keep · 2 delete entries older than this time · 3 most entries to delete for their age · 4 now ·
--       then the data of one entry each
-- Cost  O(entries + deleted entries), and their logarithms
local newest = redis.call('ZREVRANGE', KEYS[1], 0, 0, 'WITHSCORES')
local number = tonumber(newest[2] or '0')
for at = 5, #ARGV do
  number = number + 1
  redis.call('ZADD', KEYS[1], number, string.format('%d:%s:', number, ARGV[4]) .. ARGV[at])
end
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', number - math.max(tonumber(ARGV[1]), 1))
local old = 0
for _, entry in ipairs(redis.call('ZRANGE', KEYS[1], 0, ARGV[3] - 1)) do
  if tonumber(string.match(entry, '^%d+:([^:]+):')) >= tonumber(ARGV[2]) then break end
  old = old + 1
end
old = math.min(old, redis.call('ZCARD', KEYS[1]) - 1)
if old > 0 then redis.call('ZREMRANGEBYRANK', KEYS[1], 0, old - 1) end
