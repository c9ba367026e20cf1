-- The steps of a transfer in the queue that tasks leave. Each may be done again at any time (transfer.py has the order).
--
-- KEYS  1 moving · 2… one task hash per id
-- ARGV  1 step · 2 queue prefix · 3 now, seconds · 4 name of the other queue · 5 which journey · 6… ids
--       look  what is to be moved; changes nothing
--       park  out of its place: from now on nobody takes it
--       back  to its place: the other queue refused it
--       gone  it is in the other queue now
-- Gives '1', '0' not there, or '2' not allowed in its state, per id; look gives {'1', msg, its lock or '', journey or ''}
-- and park {'1', state, score, journey, milliseconds that its lock lasts or '', field, value…} for those that are.
-- Cost  O(ids · log n); a pending task costs O(its distance from the front). include: lib_lock lib_moving
local step, prefix, exact, other = ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4]
local now = math.floor(exact)
local allowed = {pending = true, scheduled = true, retry = true, archived = true}
local answers = {}

-- The lock that the task still holds, or ''.
local function lock_of(key, id)
  local lock = redis.call('HGET', key, 'unique_key')
  return lock and locked(lock, prefix, exact) == id and lock or ''
end

local function park(key, id, state, mine)
  if not mine then
    local score = tostring(now)
    if state == 'pending' then
      redis.call('LREM', prefix .. 'pending', -1, id)
    else
      score = redis.call('ZSCORE', prefix .. state, id) or tostring(now)
      redis.call('ZREM', prefix .. state, id)
    end
    mine = {'out', other, state, score, ARGV[5]}
    redis.call('HSET', key, 'state', 'moving', 'asynqio:moving', packed(unpack(mine)))
    redis.call('ZADD', KEYS[1], now, id)
  end
  local lock = lock_of(key, id)
  local ttl = lock ~= '' and tostring(redis.call('PTTL', lock)) or ''
  return {'1', mine[3], mine[4], mine[5], ttl, unpack(redis.call('HGETALL', key))}
end

for at = 1, #KEYS - 1 do
  local key, id = KEYS[at + 1], ARGV[at + 5]
  local task = redis.pcall('HMGET', key, 'state', 'msg')
  local state, mine = task[1], journey(key)
  local ours = mine and mine[1] == 'out' and mine[2] == other
  if not state then
    answers[at] = '0'
  elseif not ours and (mine or not allowed[state] or not task[2]) then
    answers[at] = '2'
  elseif step == 'look' then
    answers[at] = {'1', task[2], lock_of(key, id), ours and mine[5] or ''}
  elseif step == 'park' then
    answers[at] = park(key, id, state, ours and mine or nil)
  elseif not ours then
    answers[at] = '2'
  elseif step == 'back' then
    arrive(prefix, key, id, mine[3], mine[4], KEYS[1], nil, true)
    answers[at] = '1'
  else
    release(prefix, key, id)
    redis.call('DEL', key)
    redis.call('ZREM', KEYS[1], id)
    answers[at] = '1'
  end
end
return answers
