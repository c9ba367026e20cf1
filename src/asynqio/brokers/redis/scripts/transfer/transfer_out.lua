-- The steps of a transfer in the source queue. Each may be repeated at any time; operations/transfer.py has their order.
--
-- KEYS  1 moving · 2 left (ours) · 3… one task hash per id
-- ARGV  1 step · 2 queue prefix · 3 now, seconds · 4 name of the target queue · 5 archive cutoff, seconds
--       then per id: id, transfer id
--       inspect   may the task be transferred? Changes nothing
--       prepare   hide the task from servers, and take it over from any earlier transfer
--       rollback  restore the task: the target queue rejected it
--       commit    delete the task, because the target queue has a copy, and record its transfer id
--       check     has the transfer been committed?
--       finish    delete the record
-- Returns per id '1', '0' not found (check: not committed), or '2' not allowed in its state or owned by another transfer
-- (check: still prepared); inspect returns {'1', msg, its lock or ''}, and prepare {'1', state, score, milliseconds that
-- Redis keeps its lock or '', field, value…}, if allowed; if the reply is large, both act on the first ids only.
-- Cost  O(ids · log n); a pending task costs O(its distance from the front).
-- include: lib/reply_bytes lib/unique_lock lib/transfer_state lib/write_when_full
local step, prefix, exact, other = ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4]
local now = math.floor(exact)
local allowed = {pending = true, scheduled = true, retry = true, archived = true}
local answers, left = {}, REPLY_BYTES

-- The lock that the task still holds, or ''.
local function lock_of(key, id)
  local lock = redis.call('HGET', key, 'unique_key')
  return lock and read_lock(lock, prefix, exact, ARGV[5]) == id and lock or ''
end

local function prepare(key, id, state, current, transfer_id)
  local score
  if current then
    state, score = current[3], current[4]
  elseif state == 'pending' then
    redis.call('LREM', prefix .. 'pending', -1, id)
    score = tostring(now)
  else
    score = redis.call('ZSCORE', prefix .. state, id) or tostring(now)
    redis.call('ZREM', prefix .. state, id)
  end
  redis.call('HSET', key, 'state', 'moving', 'asynqio:moving', pack_fields('out', other, state, score, transfer_id))
  redis.call('ZADD', KEYS[1], now, id)
  local lock = lock_of(key, id)
  local ttl = lock ~= '' and tostring(redis.call('PTTL', lock)) or ''
  return {'1', state, score, ttl, unpack(redis.call('HGETALL', key))}
end

local function is_committed(id, transfer_id)
  return redis.call('ZSCORE', KEYS[2], id .. '\n' .. transfer_id) and '1' or '0'
end

local function begin(key, id, transfer_id)
  local task = redis.pcall('HMGET', key, 'state', 'msg')
  local state, current = task[1], read_transfer(key)
  local same_target = current and current[1] == 'out' and current[2] == other
  if not state or outlived(prefix, id, state, exact, ARGV[5]) then return '0' end
  if not same_target and (current or not allowed[state] or not task[2]) then return '2' end
  if step == 'inspect' then return {'1', task[2], lock_of(key, id)} end
  return prepare(key, id, state, same_target and current or nil, transfer_id)
end

local function complete(key, id, transfer_id)
  local current = read_transfer(key)
  if not current or current[1] ~= 'out' or current[5] ~= transfer_id then
    return step == 'commit' and is_committed(id, transfer_id) or '2'
  end
  if step == 'rollback' then
    end_transfer(prefix, key, id, current[3], current[4], KEYS[1], nil, true)
    return '1'
  end
  release_lock(prefix, key, id)
  redis.call('DEL', key)
  redis.call('ZREM', KEYS[1], id)
  redis.call('ZADD', KEYS[2], now, id .. '\n' .. transfer_id)
  redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', now - 86400)
  return '1'
end

if step ~= 'inspect' and step ~= 'check' then write_when_full(KEYS[1]) end
for at = 1, #KEYS - 2 do
  if left <= 0 then break end
  local key, id, transfer_id = KEYS[at + 2], ARGV[2 * at + 4], ARGV[2 * at + 5]
  if step == 'check' then
    local current = read_transfer(key)
    local prepared = current and current[1] == 'out' and current[5] == transfer_id
    answers[at] = prepared and '2' or is_committed(id, transfer_id)
  elseif step == 'finish' then
    redis.call('ZREM', KEYS[2], id .. '\n' .. transfer_id)
    answers[at] = '1'
  elseif step == 'inspect' or step == 'prepare' then
    local answer = begin(key, id, transfer_id)
    if type(answer) == 'table' then left = left - bytes_of(answer) end
    answers[at] = answer
  else
    answers[at] = complete(key, id, transfer_id)
  end
end
return answers
