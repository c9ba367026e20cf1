-- Make a group ripe at once, for as long as a member that is present now is waiting.
--
-- KEYS  1 members · 2 groups · 3 flushed (ours)
-- ARGV  1 name of the group · 2 queue prefix
-- Returns the number of members.
-- Cost  O(log members). include: lib_groups/group_index lib/write_when_full
local size = redis.call('ZCARD', KEYS[1])
if size > 0 then
  write_when_full(KEYS[2])
  redis.call('SADD', KEYS[2], ARGV[1])
  redis.call('HSET', KEYS[3], ARGV[1], redis.call('ZRANGE', KEYS[1], -1, -1, 'WITHSCORES')[2])
  group_changed(ARGV[2], ARGV[1])
end
return size
