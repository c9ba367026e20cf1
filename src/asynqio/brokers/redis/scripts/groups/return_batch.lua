-- Return the members of a batch to their group, with their scores.
--
-- KEYS  1 the batch · 2 aggregation_sets · 3 members of the group
-- ARGV  1 queue prefix · 2 now, seconds · 3 the group · 4 its failures (see lib_groups/group_failure.lua), or ''
-- Returns 1, or 0 if the claim was lost.
-- Cost  O(members · log members). include: lib_groups/group_index lib/write_when_full
local prefix, group = ARGV[1], ARGV[3]
if not redis.call('ZSCORE', KEYS[2], KEYS[1]) then return 0 end
write_when_full(KEYS[2])
local given, pairs = redis.call('ZRANGE', KEYS[1], 0, -1, 'WITHSCORES'), {}
for at = 1, #given, 2 do pairs[at], pairs[at + 1] = given[at + 1], given[at] end
for first = 1, #pairs, 2000 do
  redis.call('ZADD', KEYS[3], 'LT', unpack(pairs, first, math.min(first + 1999, #pairs)))
end
redis.call('DEL', KEYS[1])
redis.call('ZREM', KEYS[2], KEYS[1])
if #given > 0 then group_joined(prefix, group, tonumber(ARGV[2])) end
if ARGV[4] ~= '' then
  redis.call('HSET', prefix .. 'asynqio:group_failures', group, ARGV[4])
  redis.call('HDEL', prefix .. 'asynqio:flushed', group)
end
return 1
