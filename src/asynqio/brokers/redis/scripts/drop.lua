-- Remove some of a queue, until nothing is left (spec 3.16; corrects B13, B14).
--
-- KEYS  1 pending · 2 active · 3 lease · 4 scheduled · 5 retry · 6 archived · 7 completed · 8 groups
--       9 aggregation_sets · 10 throttles (ours) · 11… everything else that goes at the end
-- ARGV  1 queue prefix · 2 force (1: also if there are tasks) · 3 budget
-- Gives {-1, active tasks} or {-2, tasks} if that is not allowed, {0, tasks removed} if there is more to do, {1, tasks
-- removed} when all is gone.
-- Cost  O(budget). include: lib_lock
local prefix, budget, removed = ARGV[1], tonumber(ARGV[3]), 0
local active = redis.call('LLEN', KEYS[2])
if active > 0 then return {-1, active} end

local function sets()
  local found = redis.call('ZRANGE', KEYS[9], 0, -1)
  for _, group in ipairs(redis.call('SMEMBERS', KEYS[8])) do found[#found + 1] = prefix .. 'g:' .. group end
  for at = 4, 7 do found[#found + 1] = KEYS[at] end
  return found
end

if ARGV[2] ~= '1' then
  local tasks = redis.call('LLEN', KEYS[1])
  for _, key in ipairs(sets()) do tasks = tasks + redis.call('ZCARD', key) end
  if tasks > 0 then return {-2, tasks} end
end

local function forget(ids)
  for _, id in ipairs(ids) do
    local key = prefix .. 't:' .. id
    release(prefix, key, id)
    redis.call('DEL', key)
  end
  removed = removed + #ids
end

local ids = redis.call('LRANGE', KEYS[1], -budget, -1)
if #ids > 0 then
  redis.call('LTRIM', KEYS[1], 0, -#ids - 1)
  forget(ids)
end
for _, key in ipairs(sets()) do
  if removed >= budget then return {0, removed} end
  local members = redis.call('ZRANGE', key, 0, budget - removed - 1)
  redis.call('ZREMRANGEBYRANK', key, 0, budget - removed - 1)
  forget(members)
end
if removed >= budget then return {0, removed} end
for _, held in ipairs(redis.call('ZRANGE', KEYS[10], 0, budget - removed - 1)) do
  local id, lock = held:match('^(.-)\n(.*)$')
  unlock(lock, id)
  redis.call('ZREM', KEYS[10], held)
  removed = removed + 1
end
if removed >= budget then return {0, removed} end
for at = 1, #KEYS do redis.call('DEL', KEYS[at]) end
return {1, removed}
