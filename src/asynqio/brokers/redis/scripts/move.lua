-- Run, archive or delete tasks of one queue by id (spec 3.14; corrects B5, B11, B28).
--
-- KEYS  1 pending · 2 archived · 3 groups · 4 aggregation_sets · 5… one task hash per id
-- ARGV  1 target: pending, archived or '' (delete) · 2 queue prefix · 3 now, seconds · 4 now, nanoseconds
--       5 archive limit · 6 archive cutoff, seconds · 7… ids
-- Gives one character per id: 1 done, 0 not found, 2 not allowed in its state.
-- Cost  O(ids · log n); a pending task costs O(its distance from the front).
-- include: lib_trim
local target, prefix, now = ARGV[1], ARGV[2], ARGV[3]
local answers, fresh = {}, {}

-- A member of a claimed batch is somebody's.
local function claimed(group, id)
  local start = prefix .. 'g:' .. group .. ':'
  for _, batch in ipairs(redis.call('ZRANGE', KEYS[4], 0, -1)) do
    if batch:sub(1, #start) == start and redis.call('ZSCORE', batch, id) then return true end
  end
  return false
end

local function leave(state, id, group)
  if state == 'pending' then
    redis.call('LREM', KEYS[1], -1, id)
  elseif state == 'aggregating' then
    local members = prefix .. 'g:' .. group
    redis.call('ZREM', members, id)
    if redis.call('EXISTS', members) == 0 then redis.call('SREM', KEYS[3], group) end
  else
    redis.call('ZREM', prefix .. state, id)
  end
end

for item = 1, #KEYS - 4 do
  local key, id = KEYS[4 + item], ARGV[6 + item]
  local task = redis.pcall('HMGET', key, 'state', 'group')
  local state, group = task[1], task[2] or ''
  if not state then
    answers[item] = '0'
  elseif state == 'active' or state == 'moving' or state == target or (state == 'aggregating' and claimed(group, id)) then
    answers[item] = '2'
  else
    leave(state, id, group)
    if target == '' then
      release(prefix, key, id)
      redis.call('DEL', key)
    elseif target == 'pending' then
      redis.call('LPUSH', KEYS[1], id)
      redis.call('HSET', key, 'state', 'pending', 'pending_since', ARGV[4])
    else
      redis.call('ZADD', KEYS[2], now, id)
      redis.call('HSET', key, 'state', 'archived')
      redis.call('HDEL', key, 'pending_since')
      fresh[#fresh + 1] = id
    end
    answers[item] = '1'
  end
end
if #fresh > 0 then trim(prefix, KEYS[2], tonumber(ARGV[5]), ARGV[6], #fresh + 100, fresh) end
return table.concat(answers)
