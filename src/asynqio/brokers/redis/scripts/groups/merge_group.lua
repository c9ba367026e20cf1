-- Replace the members of a batch by one merged task, all or nothing (B5, B31).
--
-- KEYS  1 slot of the call (ours) · 2 the batch · 3 aggregation_sets of its queue · 4 pending of the merged task's queue
--       5 its hash
-- ARGV  1 number of the call (see lib_enqueue/call_once.lua) · 2 prefix of the merged task's queue · 3 now, seconds
--       4 now, nanoseconds · 5 archive cutoff, seconds · 6 id · 7 msg · 8 options (see lib_enqueue/admit_entry.lua)
--       9 prefix of the batch's queue · 10 the group
-- Returns '1', '0' or '2' as enqueue does; '3' and the id of the updated task; '-' if the claim has lapsed.
-- Cost  O(members). include: lib_enqueue/admit_entry lib_enqueue/call_once lib_groups/group_failure lib_groups/remove_members lib/write_when_full
local reply, known = reply_of(KEYS[1], ARGV[1])
if reply then return reply end
if not redis.call('ZSCORE', KEYS[3], KEYS[2]) then return '-' end
redis.call('LLEN', KEYS[4])
write_when_full(KEYS[3])
local pending = {}
local answer, holder =
  admit_entry(ARGV[2], KEYS[5], ARGV[6], ARGV[7], ARGV[8], tonumber(ARGV[3]), ARGV[4], ARGV[5], pending)
if answer == '1' or answer == '3' then
  if #pending > 0 then redis.call('LPUSH', KEYS[4], pending[1]) end
  remove_members(ARGV[9], KEYS[2], KEYS[3])
  end_failures(ARGV[9], ARGV[10])
end
return remember(KEYS[1], ARGV[1], answer .. (holder or ''), known)
