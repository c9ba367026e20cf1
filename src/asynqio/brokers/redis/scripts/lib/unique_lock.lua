-- Uniqueness locks. The value of a lock is the id of the task that holds it. include: lib/outlived

-- Free the lock if this task still holds it.
local function unlock(key, id)
  if type(key) == 'string' and key ~= '' and redis.call('GET', key) == id then
    redis.call('DEL', key)
  end
end

-- Free the lock of a task that is about to be deleted. For a member of a group, Go records the lock in the message only
-- (B5): protobuf field 10, a length-delimited string. If a payload looks like that field, the lock it names has another
-- holder, and nothing happens.
local function release_lock(prefix, key, id)
  local task = redis.pcall('HMGET', key, 'unique_key', 'group')
  unlock(task[1], id)
  if task[1] or not task[2] then return end
  local msg, start = redis.call('HGET', key, 'msg') or '', prefix .. 'unique:'
  local at = msg:find(start, 4, true)
  while at do
    local three, two, one = msg:byte(at - 3, at - 1)
    if two == 0x52 then
      unlock(msg:sub(at, at + one - 1), id)
    elseif three == 0x52 and two >= 128 then
      unlock(msg:sub(at, at + two - 128 + one * 128 - 1), id)
    end
    at = msg:find(start, at + 1, true)
  end
end

-- Returns the id of the task that holds a lock by the caller's clock, or false; whether the lock belongs to that task;
-- and its exact expiry, or false. Redis and Go count whole seconds. The exact expiry is in the holder's hash
-- (asynqio:unique) or, for a lock that outlives its task, in the sorted set asynqio:locks. A task that has outlived its
-- retention, or was archived before `cutoff`, holds no lock of its own.
local function read_lock(key, prefix, now, cutoff)
  local holder = redis.call('GET', key)
  if not holder then return false end
  local task = redis.pcall('HMGET', prefix .. 't:' .. holder, 'unique_key', 'asynqio:unique', 'state')
  -- A task that is being transferred to another queue must not be updated.
  local ends, own = task[2], task[3] ~= 'moving'
  if task[1] ~= key then
    ends = redis.call('ZSCORE', prefix .. 'asynqio:locks', holder .. '\n' .. key)
    -- For a member of a group, Go records the lock in the message only.
    own = not ends and task[3]
  end
  if ends and tonumber(ends) <= now then return false end
  if own and outlived(prefix, holder, task[3], now, cutoff) then return false end
  return holder, own, ends or false
end
