-- Keep an archive within its bounds, at most `budget` tasks at a time (B10, B11, B12). include: lib_lock
local function trim(prefix, archived, limit, cutoff, budget)
  local over = redis.call('ZRANGEBYSCORE', archived, '-inf', cutoff, 'LIMIT', 0, budget)
  local excess = redis.call('ZCARD', archived) - #over - limit
  if excess > 0 and #over < budget then
    local first = #over
    local more = redis.call('ZRANGE', archived, first, first + math.min(excess, budget - first) - 1)
    for _, id in ipairs(more) do over[#over + 1] = id end
  end
  for _, id in ipairs(over) do
    local key = prefix .. 't:' .. id
    unlock(redis.pcall('HGET', key, 'unique_key'), id)
    redis.call('DEL', key)
    redis.call('ZREM', archived, id)
  end
  if #over > 0 then redis.call('HINCRBY', prefix .. 'asynqio:counts', 'evicted', #over) end
  return #over
end
