-- Remove a batch with its members, if it is still somebody's.
--
-- KEYS  1 the batch · 2 aggregation_sets
-- ARGV  1 queue prefix
-- Returns 1, or 0 if it was given back meanwhile.
-- Cost  O(members). include: lib_dissolve
if not redis.call('ZSCORE', KEYS[2], KEYS[1]) then return 0 end
dissolve(ARGV[1], KEYS[1], KEYS[2])
return 1
