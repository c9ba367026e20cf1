-- Claim those of the named groups that are ripe. Only these are read, and no index is kept.
--
-- KEYS  per queue: 1 groups · 2 aggregation_sets · 3 flushed (ours) · 4 known groups (ours)
-- ARGV  1-5 see lib_groups/claim_group.lua · then per queue: its prefix
--       then per group: number of its queue, name, grace, max delay, most members of a batch, 1 if that many make it
--       ripe
-- Returns {how many groups are done, when the next of these will be ripe or false, batch…}.
-- Cost  O(named groups · log members + members claimed · log members)
-- include: lib_groups/claim_group lib/write_when_full
local queues, next_arg = {}, 6
for first = 1, #KEYS, 4 do
  write_when_full(KEYS[first])
  queues[#queues + 1] = {
    number = #queues, prefix = ARGV[next_arg], groups = KEYS[first], batches = KEYS[first + 1],
    flushed = KEYS[first + 2], known = KEYS[first + 3],
  }
  next_arg = next_arg + 1
end
local done, coming = 0, false
for at = next_arg, #ARGV, 6 do
  local rule = {
    grace = tonumber(ARGV[at + 2]), delay = tonumber(ARGV[at + 3]), most = tonumber(ARGV[at + 4]),
    sized = ARGV[at + 5] == '1',
  }
  local soon = claim_group(queues[tonumber(ARGV[at]) + 1], ARGV[at + 1], rule)
  if soon == 0 then break end
  if soon then coming = math.min(coming or math.huge, soon) end
  done = done + 1
end
return {done, coming and string.format('%.17g', coming) or false, unpack(claimed)}
