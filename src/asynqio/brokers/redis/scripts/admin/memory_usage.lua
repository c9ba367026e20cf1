-- Estimate the bytes of memory that a queue takes, from a sample.
--
-- KEYS  1 pending · 2 active · 3 scheduled · 4 retry · 5 archived · 6 completed · 7 groups · 8 aggregation_sets
-- ARGV  1 task prefix · 2 group prefix · 3 tasks to measure per state, and per sampled group and batch
-- Returns bytes: for each list and set, its own size plus the mean size of the measured tasks times its length.
-- Unlike Go's script, it samples a bounded number of groups, and includes claimed batches.
-- Cost  O(tasks to measure)
local tasks, groups, sample = ARGV[1], ARGV[2], tonumber(ARGV[3])

-- A key of the wrong type, or one that has just been deleted, counts as empty.
local function try_call(...)
  local answer = redis.pcall(...)
  if type(answer) == 'table' and answer.err then return nil end
  return answer or nil
end

local function measure(key, ids, length)
  local total, seen = 0, 0
  for _, id in ipairs(ids or {}) do
    total = total + (try_call('MEMORY', 'USAGE', tasks .. id) or 0)
    seen = seen + 1
  end
  return (try_call('MEMORY', 'USAGE', key) or 0) + (seen > 0 and total / seen * length or 0)
end

local bytes = 0
for at = 1, 2 do
  bytes = bytes + measure(KEYS[at], try_call('LRANGE', KEYS[at], -sample, -1), try_call('LLEN', KEYS[at]) or 0)
end
for at = 3, 6 do
  bytes = bytes + measure(KEYS[at], try_call('ZRANGE', KEYS[at], 0, sample - 1), try_call('ZCARD', KEYS[at]) or 0)
end

-- Members of groups and of claimed batches, projected from a sample of the sets.
local function measure_sets(listing, keys, count)
  local members = 0
  for _, key in ipairs(keys) do
    members = members + measure(key, try_call('ZRANGE', key, 0, sample - 1), try_call('ZCARD', key) or 0)
  end
  if #keys == 0 then return 0 end
  return (try_call('MEMORY', 'USAGE', listing) or 0) + members / #keys * count
end

local some = try_call('SRANDMEMBER', KEYS[7], math.ceil(sample / 4)) or {}
for at, name in ipairs(some) do some[at] = groups .. name end
bytes = bytes + measure_sets(KEYS[7], some, try_call('SCARD', KEYS[7]) or 0)
local batches = try_call('ZRANGE', KEYS[8], 0, math.ceil(sample / 4) - 1) or {}
bytes = bytes + measure_sets(KEYS[8], batches, try_call('ZCARD', KEYS[8]) or 0)
return math.floor(bytes)
