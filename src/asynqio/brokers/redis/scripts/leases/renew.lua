-- Extend the leases of one queue that are still held.
--
-- KEYS  1 lease · 2… one task hash per lease
-- ARGV  1 expiry, seconds · then per lease: id, token, fence
-- Returns one character per lease: 1 renewed, 0 lost.
-- Cost  O(leases · log active). include: lib/lease_held lib/write_when_full
local answers, scores = {}, {}
for item = 1, #KEYS - 1 do
  local at = 3 * item - 1
  if lease_held(KEYS[item + 1], ARGV[at + 1], ARGV[at + 2]) then
    scores[#scores + 1] = ARGV[1]
    scores[#scores + 1] = ARGV[at]
    answers[item] = '1'
  else
    answers[item] = '0'
  end
end
if #scores > 0 then
  write_when_full(KEYS[1])
  redis.call('ZADD', KEYS[1], unpack(scores))
end
return table.concat(answers)
