-- The state of tasks in transfer from one queue to another. Meanwhile both queues have the task in the sorted set
-- `asynqio:moving`, in the state 'moving', on which no server acts, Go's included. The hash field of the same name holds:
-- 'out' or 'in', the other queue, the state before and after the transfer, its score, the transfer id. include: lib/fields

-- The parts of that field, or nil.
local function read_transfer(key)
  local packed = redis.pcall('HGET', key, 'asynqio:moving')
  return type(packed) == 'string' and fields(packed) or nil
end

local function pack_fields(...)
  local parts = {...}
  for at, part in ipairs(parts) do parts[at] = struct.pack('>I4', #part) .. part end
  return table.concat(parts)
end

-- Put a task in transfer into the list or set of its state, and delete the field.
local function end_transfer(prefix, key, id, state, score, moving, now_ns, front)
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
