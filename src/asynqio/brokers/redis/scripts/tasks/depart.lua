-- The steps of a transfer in the queue that tasks leave. Each may be done again at any time (transfer.py has the order).
--
-- KEYS  1 moving · 2 left (ours) · 3… one task hash per id
-- ARGV  1 step · 2 queue prefix · 3 now, seconds · 4 name of the other queue · then per id: id, which journey
--       look  what is to be moved; changes nothing
--       park  out of its place: from now on nobody takes it, and no other journey of it comes to its end
--       back  to its place: the other queue refused it
--       gone  a copy is in the other queue: the one here is deleted, which is kept in mind
--       was   whether it went on this journey
--       over  that need not be kept in mind any more
-- Returns '1', '0' not there (was: no), or '2' not allowed in its state, or on another journey (was: it still is), per id;
-- look gives {'1', msg, its lock or ''} and park {'1', state, score, milliseconds that its lock lasts or '', field, value…}
-- for those that are.
-- Cost  O(ids · log n); a pending task costs O(its round_trip from the front). include: lib_lock lib_moving
local step, prefix, exact, other = ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4]
local now = math.floor(exact)
local allowed = {pending = true, scheduled = true, retry = true, archived = true}
local answers = {}

-- The lock that the task still holds, or ''.
local function lock_of(key, id)
  local lock = redis.call('HGET', key, 'unique_key')
  return lock and locked(lock, prefix, exact) == id and lock or ''
end

local function park(key, id, state, mine, trip)
  local score
  if mine then
    state, score = mine[3], mine[4]
  elseif state == 'pending' then
    redis.call('LREM', prefix .. 'pending', -1, id)
    score = tostring(now)
  else
    score = redis.call('ZSCORE', prefix .. state, id) or tostring(now)
    redis.call('ZREM', prefix .. state, id)
  end
  redis.call('HSET', key, 'state', 'moving', 'asynqio:moving', packed('out', other, state, score, trip))
  redis.call('ZADD', KEYS[1], now, id)
  local lock = lock_of(key, id)
  local ttl = lock ~= '' and tostring(redis.call('PTTL', lock)) or ''
  return {'1', state, score, ttl, unpack(redis.call('HGETALL', key))}
end

local function went(id, trip)
  return redis.call('ZSCORE', KEYS[2], id .. '\n' .. trip) and '1' or '0'
end

local function set_out(step, key, id, trip)
  local task = redis.pcall('HMGET', key, 'state', 'msg')
  local state, mine = task[1], journey(key)
  local ours = mine and mine[1] == 'out' and mine[2] == other
  if not state then return '0' end
  if not ours and (mine or not allowed[state] or not task[2]) then return '2' end
  if step == 'look' then return {'1', task[2], lock_of(key, id)} end
  return park(key, id, state, ours and mine or nil, trip)
end

local function end_here(step, key, id, trip)
  local mine = journey(key)
  if not mine or mine[1] ~= 'out' or mine[5] ~= trip then
    return step == 'gone' and went(id, trip) or '2'
  end
  if step == 'back' then
    arrive(prefix, key, id, mine[3], mine[4], KEYS[1], nil, true)
    return '1'
  end
  release(prefix, key, id)
  redis.call('DEL', key)
  redis.call('ZREM', KEYS[1], id)
  redis.call('ZADD', KEYS[2], now, id .. '\n' .. trip)
  redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', now - 86400)
  return '1'
end

for at = 1, #KEYS - 2 do
  local key, id, trip = KEYS[at + 2], ARGV[2 * at + 3], ARGV[2 * at + 4]
  if step == 'was' then
    local mine = journey(key)
    answers[at] = mine and mine[1] == 'out' and mine[5] == trip and '2' or went(id, trip)
  elseif step == 'over' then
    redis.call('ZREM', KEYS[2], id .. '\n' .. trip)
    answers[at] = '1'
  elseif step == 'look' or step == 'park' then
    answers[at] = set_out(step, key, id, trip)
  else
    answers[at] = end_here(step, key, id, trip)
  end
end
return answers
