-- Replace the members of a batch by one merged task, all or nothing (B5, B31).
--
-- KEYS  1 the batch · 2 aggregation_sets of its queue · 3 pending of the merged task's queue · 4 its hash
-- ARGV  1 resent (1: the reply to the same call was lost) · 2 prefix of the merged task's queue · 3 now, seconds
--       4 now, nanoseconds · 5 id · 6 msg · 7 options (see lib/admit_entry.lua) · 8 prefix of the batch's queue
--       9 the group
-- Returns '1', '0' or '2' as enqueue does; '3' and the id of the updated task; '-' if the claim has lapsed.
-- Cost  O(members). include: lib/admit_entry lib/group_failure lib/remove_members lib/write_when_full
local resent = ARGV[1] == '1'
if not redis.call('ZSCORE', KEYS[2], KEYS[1]) then
  local admitted = resent and redis.call('HGET', KEYS[4], 'msg') == ARGV[6]
  return admitted and '1' or '-'
end
redis.call('LLEN', KEYS[3])
write_when_full(KEYS[2])
local pending = {}
local answer, holder = admit_entry(ARGV[2], KEYS[4], ARGV[5], ARGV[6], ARGV[7], tonumber(ARGV[3]), ARGV[4], resent, pending)
if answer == '1' or answer == '3' then
  if #pending > 0 then redis.call('LPUSH', KEYS[3], pending[1]) end
  remove_members(ARGV[8], KEYS[1], KEYS[2])
  end_failures(ARGV[8], ARGV[9])
end
return answer .. (holder or '')
