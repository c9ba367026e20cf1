-- Remove up to `budget` tasks of a queue; call again until all its lists and sets are empty (corrects B13, B14).
--
-- KEYS  1 pending · 2 active · 3 paused · 4 groups · 5 aggregation_sets · 6… the other sorted sets of tasks
-- ARGV  1 queue prefix · 2 force (1: even if it has tasks) · 3 budget · 4 now, seconds
-- Returns {-1, active tasks} or {-2, tasks} if not allowed, {0, tasks removed} if more may be left, {1, tasks removed}
-- when everything is empty. The queue is paused from the first call on.
-- Cost  O(budget · log n). include: lib/unique_lock lib/write_when_full
local prefix, budget, removed = ARGV[1], tonumber(ARGV[3]), 0
local active = redis.call('LLEN', KEYS[2])
if active > 0 then return {-1, active} end
if ARGV[2] ~= '1' then
  local tasks = redis.call('LLEN', KEYS[1])
  for at = 6, #KEYS do tasks = tasks + redis.call('ZCARD', KEYS[at]) end
  -- 100 groups and batches suffice: nearly every listed one has members.
  for _, group in ipairs(redis.call('SRANDMEMBER', KEYS[4], 100)) do
    tasks = tasks + redis.call('ZCARD', prefix .. 'g:' .. group)
  end
  for _, batch in ipairs(redis.call('ZRANGE', KEYS[5], 0, 99)) do tasks = tasks + redis.call('ZCARD', batch) end
  if tasks > 0 then return {-2, tasks} end
end
write_when_full(KEYS[1])
redis.call('SET', KEYS[3], ARGV[4], 'NX')

local function delete_tasks(ids)
  for _, id in ipairs(ids) do
    local key = prefix .. 't:' .. id
    release_lock(prefix, key, id)
    redis.call('DEL', key)
  end
  removed = removed + #ids
  budget = budget - #ids
end

-- Returns whether the set is empty now.
local function drain(key)
  local ids = redis.call('ZRANGE', key, 0, budget - 1)
  redis.call('ZREMRANGEBYRANK', key, 0, budget - 1)
  delete_tasks(ids)
  return budget > 0
end

local ids = redis.call('LRANGE', KEYS[1], -budget, -1)
if #ids > 0 then
  redis.call('LTRIM', KEYS[1], 0, -#ids - 1)
  delete_tasks(ids)
end
for at = 6, #KEYS do
  if budget <= 0 or not drain(KEYS[at]) then return {0, removed} end
end
while true do
  if budget <= 0 then return {0, removed} end
  local group = redis.call('SRANDMEMBER', KEYS[4])
  local batch = redis.call('ZRANGE', KEYS[5], 0, 0)[1]
  if not group and not batch then return {1, removed} end
  budget = budget - 1
  if group and budget > 0 and drain(prefix .. 'g:' .. group) then redis.call('SREM', KEYS[4], group) end
  if batch and budget > 0 and drain(batch) then redis.call('ZREM', KEYS[5], batch) end
end
