-- Uniqueness locks (spec 5). The value of a lock is the id of the task that holds it.

-- Free the lock if this task still holds it.
local function unlock(key, id)
  if type(key) == 'string' and key ~= '' and redis.call('GET', key) == id then
    redis.call('DEL', key)
  end
end

-- Free the lock of a task that is about to go. For a member of a group Go notes it in the message only (B5): as field
-- 10, a text, behind its length. Should a payload look like that, then what it names is not held by this task.
local function release(prefix, key, id)
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

-- The id of the task for which a lock is held by the caller's clock, or false; whether the lock is its own; and its exact
-- end, or false. Redis and Go count whole seconds; the exact end stands with the task that holds it (asynqio:unique), or,
-- for a lock that outlives its task, beside all tasks.
local function locked(key, prefix, now)
  local holder = redis.call('GET', key)
  if not holder then return false end
  local task = redis.pcall('HMGET', prefix .. 't:' .. holder, 'unique_key', 'asynqio:unique', 'state')
  -- Who is on the way to another queue is nobody's to change.
  local ends, own = task[2], task[3] ~= 'moving'
  if task[1] ~= key then
    ends = redis.call('ZSCORE', prefix .. 'asynqio:locks', holder .. '\n' .. key)
    -- For a member of a group Go notes its lock in the message only.
    own = not ends and task[3]
  end
  if ends and tonumber(ends) <= now then return false end
  return holder, own, ends or false
end
