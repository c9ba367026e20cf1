-- Apply settlements of leased tasks of one queue, each only if its lease is still held (corrects B5, B10, B12, B27, B28,
-- B41).
--
-- KEYS  1 pending · 2 active · 3 lease · 4 retry · 5 archived · 6 completed · 7 processed today · 8 failed today
--       9 processed · 10 failed · 11… one task hash per settlement
-- ARGV  1 resent (1: the reply to the same call was lost) · 2 queue prefix · 3 now, nanoseconds
--       4 time to live of daily counters, seconds · 5 archive limit · 6 archive cutoff, seconds · 7 attempts kept
--       then per settlement: id, token, fence, spec. For a task that is deleted and counts as processed, spec is '-'
--       and the key of its lock or nothing; otherwise the fields
--       to ('': deleted), msg, at, processed ('1'), failed ('1'), lock to free or '', '=' and result or '',
--       failure counters or '', attempt record or ''
-- Returns one character per settlement: 1 done, 0 the lease was lost.
-- Cost  O(settlements · distance of the task from the nearer end of `active`); O(settlements) if tasks end in the order
--       in which they started
-- include: lib/delay_task lib/fields lib/lease_held lib/remove_active lib/trim_archive lib/write_when_full
local pending, active, lease, retry, archived, completed = unpack(KEYS, 1, 6)
local resent, prefix, now_ns = ARGV[1] == '1', ARGV[2], ARGV[3]
-- Fail on a key of the wrong type before anything is written.
redis.call('LLEN', pending)
local length = redis.call('LLEN', active)
redis.call('ZCARD', lease)
local answers, processed, failed, fresh = {}, 0, 0, {}
-- One call for many tasks costs half as much as one call per task.
local left, deleted, seen, kept = {}, {}, {}, {}
local unblocked = false

local function apply(key, id, spec, runs)
  local to, msg, at, counted, was_failure, lock, result, counters, record = unpack(fields(spec))
  if counted == '1' then processed = processed + 1 end
  if was_failure == '1' then failed = failed + 1 end
  unlock(lock, id)
  if to == '' then
    deleted[#deleted + 1] = key
    return
  end
  -- A failure must not hold up the other settlements of the call when Redis is full.
  if not unblocked then write_when_full(lease) end
  unblocked = true
  local task = {'msg', msg, 'state', to}
  if to == 'pending' then
    redis.call('RPUSH', pending, id)
    task[5], task[6] = 'pending_since', now_ns
  elseif to == 'retry' then
    delay_task(prefix, 'retry', id, at)
  elseif to == 'completed' then
    kept[#kept + 1] = at
    kept[#kept + 1] = id
  else
    redis.call('ZADD', archived, at, id)
    fresh[#fresh + 1] = id
  end
  if result ~= '' then
    task[#task + 1] = 'result'
    task[#task + 1] = result:sub(2)
  end
  local obsolete = {'asynqio:lease', 'asynqio:live'}
  if counters ~= '' then
    task[#task + 1] = 'asynqio:strikes'
    task[#task + 1] = counters
  else
    obsolete[3] = 'asynqio:strikes'
  end
  if record ~= '' then
    -- Most tasks have one attempt, and for Lua to format a number costs as much as to write a field.
    local number = '1'
    if runs then
      number = tostring(runs + 1)
      obsolete[#obsolete + 1] = 'asynqio:run:' .. (number - ARGV[7])
    end
    task[#task + 1] = 'asynqio:runs'
    task[#task + 1] = number
    task[#task + 1] = 'asynqio:run:' .. number
    task[#task + 1] = record
  end
  redis.call('HDEL', key, unpack(obsolete))
  redis.call('HSET', key, unpack(task))
end

-- Whether this settlement was applied by the call whose reply was lost.
local function applied(key, spec)
  if spec:byte() == 45 then return redis.call('EXISTS', key) == 0 end
  local to, msg = unpack(fields(spec))
  if to == '' then return redis.call('EXISTS', key) == 0 end
  local task = redis.pcall('HMGET', key, 'state', 'msg', 'asynqio:lease')
  return task[1] == to and task[2] == msg and not task[3]
end

for item = 1, #KEYS - 10 do
  local key, at = KEYS[10 + item], 4 * item + 4
  local id, spec = ARGV[at], ARGV[at + 3]
  local mine, runs = lease_held(key, ARGV[at + 1], ARGV[at + 2])
  if mine and not seen[id] then
    seen[id] = true
    left[#left + 1] = id
    if spec:byte() == 45 then
      deleted[#deleted + 1] = key
      if #spec > 1 then unlock(spec:sub(2), id) end
      processed = processed + 1
    else
      apply(key, id, spec, runs)
    end
    answers[item] = '1'
  else
    answers[item] = resent and applied(key, spec) and '1' or '0'
  end
end

if #left > 0 then
  redis.call('ZREM', lease, unpack(left))
  -- Tasks tend to end in the order in which they started: then one LTRIM of the oldest end removes them all.
  local oldest, together = redis.call('LRANGE', active, -#left, -1), 0
  while together < #left and seen[oldest[#oldest - together]] do
    seen[oldest[#oldest - together]] = false
    together = together + 1
  end
  if together > 0 then redis.call('LTRIM', active, 0, -together - 1) end
  if together < #left then
    for _, id in ipairs(left) do
      if seen[id] then remove_active(active, id, length - together) end
    end
  end
end
if #deleted > 0 then redis.call('DEL', unpack(deleted)) end
if #kept > 0 then redis.call('ZADD', completed, unpack(kept)) end

local function count(today, total, by)
  if redis.call('INCRBY', today, by) == by then redis.call('EXPIRE', today, ARGV[4]) end
  local before = redis.call('GET', total)
  -- Like Go, restart a counter that is about to overflow.
  if before and tonumber(before) + by > 9223372036854774784 then
    redis.call('SET', total, by)
  else
    redis.call('INCRBY', total, by)
  end
end

if processed > 0 then count(KEYS[7], KEYS[9], processed) end
if failed > 0 then count(KEYS[8], KEYS[10], failed) end
if #fresh > 0 then trim_archive(prefix, archived, tonumber(ARGV[5]), ARGV[6], #fresh + 100, fresh) end
return table.concat(answers)
