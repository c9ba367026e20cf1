-- Delete a batch and its members, if it is still claimed.
--
-- KEYS  1 the batch · 2 aggregation_sets
-- ARGV  1 queue prefix · 2 the group
-- Returns 1, or 0 if it was released in the meantime.
-- Cost  O(members). include: lib_groups/group_failure lib_groups/remove_members
if not redis.call('ZSCORE', KEYS[2], KEYS[1]) then return 0 end
remove_members(ARGV[1], KEYS[1], KEYS[2])
end_failures(ARGV[1], ARGV[2])
return 1
