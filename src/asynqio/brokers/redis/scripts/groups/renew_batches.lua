-- Extend the claims of batches of one queue.
--
-- KEYS  1 aggregation_sets
-- ARGV  1 end of the claims, seconds · 2… keys of the batches
-- Returns one character per batch: 1 renewed, 0 the claim was lost.
-- Cost  O(batches · log n). include: lib/write_when_full
write_when_full(KEYS[1])
local answers = {}
for at = 2, #ARGV do
  local held = redis.call('ZSCORE', KEYS[1], ARGV[at])
  if held then redis.call('ZADD', KEYS[1], 'XX', ARGV[1], ARGV[at]) end
  answers[at - 1] = held and '1' or '0'
end
return table.concat(answers)
