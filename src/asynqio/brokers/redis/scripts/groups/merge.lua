-- Put one task in the place of the members of a batch, in one step or not at all (B31, B5).
--
-- KEYS  1 the batch · 2 aggregation_sets of its queue · 3 pending of the merged task's queue · 4 its hash
-- ARGV  1 again · 2 prefix of the merged task's queue · 3 now, seconds · 4 now, nanoseconds
--       5 id · 6 msg · 7 spec (see lib_admit) · 8 prefix of the batch's queue
-- Returns '1', '0' or '2' as enqueue does; '3' and the id of the task that was changed; '-' if the batch is not ours any more.
-- Cost  O(members). include: lib_admit lib_dissolve
local again = ARGV[1] == '1'
if not redis.call('ZSCORE', KEYS[2], KEYS[1]) then
  local there = again and redis.call('HGET', KEYS[4], 'msg') == ARGV[6]
  return there and '1' or '-'
end
redis.call('LLEN', KEYS[3])
local pending = {}
local answer, holder = admit(ARGV[2], KEYS[4], ARGV[5], ARGV[6], ARGV[7], tonumber(ARGV[3]), ARGV[4], again, pending)
if answer == '1' or answer == '3' then
  if #pending > 0 then redis.call('LPUSH', KEYS[3], pending[1]) end
  dissolve(ARGV[8], KEYS[1], KEYS[2])
end
return answer .. (holder or '')
