-- About how many bytes a queue takes, from a sample (spec 3.13, memory usage).
--
-- KEYS  1 pending · 2 active · 3 scheduled · 4 retry · 5 archived · 6 completed · 7 groups · 8 aggregation_sets
-- ARGV  1 task prefix · 2 group prefix · 3 tasks to measure of each state, and of each of a few groups and batches
-- Returns bytes: of each container, what it takes itself and the mean of the tasks measured times its length.
-- Unlike Go's it looks at a few groups only, whatever their number, and at batches too.
-- Cost  O(tasks to measure)
local tasks, groups, sample = ARGV[1], ARGV[2], tonumber(ARGV[3])

-- What fails (a key of a wrong type, or one that is gone) counts as nothing.
local function look(...)
  local answer = redis.pcall(...)
  if type(answer) == 'table' and answer.err then return nil end
  return answer or nil
end

local function measure(key, ids, length)
  local total, seen = 0, 0
  for _, id in ipairs(ids or {}) do
    total = total + (look('MEMORY', 'USAGE', tasks .. id) or 0)
    seen = seen + 1
  end
  return (look('MEMORY', 'USAGE', key) or 0) + (seen > 0 and total / seen * length or 0)
end

local bytes = 0
for at = 1, 2 do
  bytes = bytes + measure(KEYS[at], look('LRANGE', KEYS[at], -sample, -1), look('LLEN', KEYS[at]) or 0)
end
for at = 3, 6 do
  bytes = bytes + measure(KEYS[at], look('ZRANGE', KEYS[at], 0, sample - 1), look('ZCARD', KEYS[at]) or 0)
end

-- Members of groups, and of batches that somebody aggregates now: some of the sets stand for all of them.
local function measure_sets(listing, keys, count)
  local members = 0
  for _, key in ipairs(keys) do
    members = members + measure(key, look('ZRANGE', key, 0, sample - 1), look('ZCARD', key) or 0)
  end
  if #keys == 0 then return 0 end
  return (look('MEMORY', 'USAGE', listing) or 0) + members / #keys * count
end

local some = look('SRANDMEMBER', KEYS[7], math.ceil(sample / 4)) or {}
for at, name in ipairs(some) do some[at] = groups .. name end
bytes = bytes + measure_sets(KEYS[7], some, look('SCARD', KEYS[7]) or 0)
local batches = look('ZRANGE', KEYS[8], 0, math.ceil(sample / 4) - 1) or {}
bytes = bytes + measure_sets(KEYS[8], batches, look('ZCARD', KEYS[8]) or 0)
return math.floor(bytes)
