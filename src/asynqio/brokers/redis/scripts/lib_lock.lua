-- Uniqueness locks (spec 5). The value of a lock is the id of the task that holds it.

-- Free the lock if this task still holds it.
local function unlock(key, id)
  if type(key) == 'string' and key ~= '' and redis.call('GET', key) == id then
    redis.call('DEL', key)
  end
end

-- Whether somebody other than `id` holds the lock by the caller's clock. Redis and Go count whole seconds; the exact
-- end stands with the task that holds it (asynqio:unique).
local function locked(key, prefix, now)
  local holder = redis.call('GET', key)
  if not holder then return false end
  local ends = redis.call('HGET', prefix .. 't:' .. holder, 'asynqio:unique')
  if ends and tonumber(ends) <= now then return false end
  return holder
end
