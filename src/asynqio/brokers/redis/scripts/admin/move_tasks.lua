-- Run, archive or delete tasks of one queue by id (corrects B5, B11, B28).
--
-- KEYS  1 pending · 2 archived · 3 groups · 4 aggregation_sets · 5… one task hash per id
-- ARGV  1 target: pending, archived or '' (delete) · 2 queue prefix · 3 now, seconds · 4 now, nanoseconds
--       5 archive limit · 6 archive cutoff, seconds · 7 required state, or ''
--       8 first and 9 last position in pending to search, 0 is the front; -1: position unknown · 10… ids
-- Returns one character per id: 1 done, 0 not found, 2 not allowed in its state, 3 pending, but outside the searched
-- positions: unchanged.
-- Cost  O(ids · log n). Pending: O(last - first) plus one traversal from the nearer end (30 ns per task); with unknown
--       positions, one traversal from the front per id.
-- include: lib_groups/group_index lib/trim_archive lib/write_when_full
local target, prefix, now, only = ARGV[1], ARGV[2], ARGV[3], ARGV[7]
local from, to = tonumber(ARGV[8]), tonumber(ARGV[9])
local answers, fresh = {}, {}
write_when_full(KEYS[1])

-- LREM traverses the list once per id. Instead, mark the entries with a tombstone and remove all tombstones in one pass.
local TOMBSTONE, tombstones, positions = '\0asynqio', 0, {}
local length = from >= 0 and redis.call('LLEN', KEYS[1]) or 0
to = math.min(to, length - 1)
if from >= 0 and from <= to then
  for at, id in ipairs(redis.call('LRANGE', KEYS[1], -to - 1, -from - 1)) do positions[id] = at - to - 2 end
end
local function bury(id)
  redis.call('LSET', KEYS[1], positions[id], TOMBSTONE)
  tombstones = tombstones + 1
end

-- A member of a claimed batch belongs to the server that aggregates it.
local function claimed(group, id)
  local start = prefix .. 'g:' .. group .. ':'
  for _, batch in ipairs(redis.call('ZRANGE', KEYS[4], 0, -1)) do
    if batch:sub(1, #start) == start and redis.call('ZSCORE', batch, id) then return true end
  end
  return false
end

local function leave(state, id, group)
  if state == 'pending' then
    if from >= 0 then bury(id) else redis.call('LREM', KEYS[1], -1, id) end
  elseif state == 'aggregating' then
    local members = prefix .. 'g:' .. group
    redis.call('ZREM', members, id)
    group_left(prefix, group)
  else
    redis.call('ZREM', prefix .. state, id)
  end
end

for item = 1, #KEYS - 4 do
  local key, id = KEYS[4 + item], ARGV[9 + item]
  local task = redis.pcall('HMGET', key, 'state', 'group', 'asynqio:strikes')
  local state, group = task[1], task[2] or ''
  if not state or outlived(prefix, id, state, now, ARGV[6]) then
    answers[item] = '0'
  elseif only ~= '' and state ~= only then
    answers[item] = '2'
  elseif state == 'pending' and state ~= target and from >= 0 and not positions[id] then
    answers[item] = '3'
  elseif state == 'active' or state == 'moving' or state == target or (state == 'aggregating' and claimed(group, id)) then
    answers[item] = '2'
  else
    leave(state, id, group)
    if target == '' then
      release_lock(prefix, key, id)
      redis.call('DEL', key)
    elseif target == 'pending' then
      redis.call('LPUSH', KEYS[1], id)
      redis.call('HSET', key, 'state', 'pending', 'pending_since', ARGV[4])
    else
      redis.call('ZADD', KEYS[2], now, id)
      redis.call('HSET', key, 'state', 'archived')
      redis.call('HDEL', key, 'pending_since')
      -- A suffix `started` or `ended` means that the lock is freed now.
      if (task[3] or ''):match('%a$') then unlock(redis.call('HGET', key, 'unique_key'), id) end
      fresh[#fresh + 1] = id
    end
    answers[item] = '1'
  end
end
if tombstones > 0 then
  local nearer_front = to < length - from
  redis.call('LREM', KEYS[1], nearer_front and -tombstones or tombstones, TOMBSTONE)
end
if #fresh > 0 then trim_archive(prefix, KEYS[2], tonumber(ARGV[5]), ARGV[6], #fresh + 100, fresh) end
return table.concat(answers)
