-- Remove a queue if it has no tasks; with force, first delete up to `budget` of them (corrects B13, B14). The check and
-- the removal are one script, so a task that was accepted in the meantime is kept, or counted as removed.
--
-- KEYS  1 pending · 2 active · 3 paused · 4 groups · 5 aggregation_sets · 6 known groups (ours)
--       7 to 12 the other sorted sets of tasks · 13… the other keys of the queue
-- ARGV  1 queue prefix · 2 force (1: even if it has tasks) · 3 budget · 4 now, seconds · 5 seconds that the pause lasts
-- Returns {-1, active tasks} or {-2, tasks} if not allowed, {0, tasks removed} if more may be left, {1, tasks removed}
-- when the queue had no task left and its keys were deleted.
-- With force, the queue is paused until the next call, in case the caller dies between two calls.
-- Cost  O(budget · log n). include: lib/unique_lock lib/write_when_full
local prefix, force, budget, removed = ARGV[1], ARGV[2] == '1', tonumber(ARGV[3]), 0
local active = redis.call('LLEN', KEYS[2])
if active > 0 then
  if redis.call('TTL', KEYS[3]) > 0 then redis.call('DEL', KEYS[3]) end
  return {-1, active}
end
if force then
  write_when_full(KEYS[1])
  redis.call('SET', KEYS[3], ARGV[4], 'NX', 'EX', ARGV[5])
  if redis.call('TTL', KEYS[3]) > 0 then redis.call('EXPIRE', KEYS[3], ARGV[5]) end
else
  local tasks = redis.call('LLEN', KEYS[1])
  for at = 7, 12 do tasks = tasks + redis.call('ZCARD', KEYS[at]) end
  -- 100 groups and batches suffice for the number: nearly every listed one has members. All are checked below.
  for _, group in ipairs(redis.call('SRANDMEMBER', KEYS[4], 100)) do
    tasks = tasks + redis.call('ZCARD', prefix .. 'g:' .. group)
  end
  for _, batch in ipairs(redis.call('ZRANGE', KEYS[5], 0, 99)) do tasks = tasks + redis.call('ZCARD', batch) end
  if tasks > 0 then return {-2, tasks} end
end

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

-- Remove a group or batch from its listing when it is empty. Returns how many tasks it has, if it must be kept.
local function remove_set(key, command, listing, name)
  local size = redis.call('ZCARD', key)
  if size > 0 and not force then return size end
  if drain(key) then redis.call(command, listing, name) end
  return nil
end

local ids = redis.call('LRANGE', KEYS[1], -budget, -1)
if #ids > 0 then
  redis.call('LTRIM', KEYS[1], 0, -#ids - 1)
  delete_tasks(ids)
end
for at = 7, 12 do
  if budget <= 0 or not drain(KEYS[at]) then return {0, removed} end
end
while budget > 0 do
  budget = budget - 1
  local group = redis.call('SRANDMEMBER', KEYS[4])
  local batch = redis.call('ZRANGE', KEYS[5], 0, 0)[1]
  local known = redis.call('ZRANGE', KEYS[6], 0, 0)[1]
  local kept
  if group then
    kept = remove_set(prefix .. 'g:' .. group, 'SREM', KEYS[4], group)
  elseif batch then
    kept = remove_set(batch, 'ZREM', KEYS[5], batch)
  elseif known then
    -- Go does not list every group that has members (B3).
    if redis.call('EXISTS', prefix .. 'g:' .. known) == 1 then redis.call('SADD', KEYS[4], known) end
    redis.call('ZREM', KEYS[6], known)
  else
    for _, rules in ipairs(redis.call('HKEYS', prefix .. 'asynqio:group_rules')) do
      redis.call('UNLINK', prefix .. 'asynqio:due:' .. rules)
    end
    redis.call('DEL', unpack(KEYS))
    return {1, removed}
  end
  if kept then return {-2, kept} end
end
return {0, removed}
