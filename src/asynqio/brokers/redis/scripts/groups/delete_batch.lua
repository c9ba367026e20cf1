-- Delete a batch and its members, if it is still claimed.
--
-- KEYS  1 slot of the call (ours) · 2 the batch · 3 aggregation_sets
-- ARGV  1 number of the call (see lib_enqueue/call_once.lua) · 2 queue prefix · 3 the group
-- Returns '1', or '0' if the claim was lost.
-- Cost  O(members). include: lib_enqueue/call_once lib_groups/group_failure lib_groups/remove_members lib/write_when_full
local reply, known = reply_of(KEYS[1], ARGV[1])
if reply then return reply end
if not redis.call('ZSCORE', KEYS[3], KEYS[2]) then return '0' end
write_when_full(KEYS[3])
remove_members(ARGV[2], KEYS[2], KEYS[3])
end_failures(ARGV[2], ARGV[3])
return remember(KEYS[1], ARGV[1], '1', known)
