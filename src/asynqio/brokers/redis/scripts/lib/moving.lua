-- Tasks on their way from one queue to another. Both queues have them in `asynqio:moving` then, in the state 'moving',
-- which nobody acts on, Go included. The field of the same name says: 'out' or 'in', the other queue, the state it had
-- and is to have, its score, and which journey it is. include: lib_fields

-- That field's parts, or nil.
local function journey(key)
  local said = redis.pcall('HGET', key, 'asynqio:moving')
  return type(said) == 'string' and fields(said) or nil
end

local function packed(...)
  local parts = {...}
  for at, part in ipairs(parts) do parts[at] = struct.pack('>I4', #part) .. part end
  return table.concat(parts)
end

-- Put a task that is not in any container where it belongs, and take the note of its journey away.
local function arrive(prefix, key, id, state, score, moving, now_ns, front)
  redis.call('ZREM', moving, id)
  redis.call('HSET', key, 'state', state)
  redis.call('HDEL', key, 'asynqio:moving')
  if state == 'pending' then
    redis.call(front and 'RPUSH' or 'LPUSH', prefix .. 'pending', id)
    if now_ns then redis.call('HSET', key, 'pending_since', now_ns) end
  else
    redis.call('ZADD', prefix .. state, score, id)
  end
end
