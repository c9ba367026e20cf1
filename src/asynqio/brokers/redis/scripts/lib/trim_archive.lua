-- Keep an archive within its limits, evicting at most `budget` tasks (B10, B11, B12). `fresh` are ids archived just now:
-- scores are whole seconds, so by order alone one of them could be evicted first.
-- include: lib/unique_lock
local function trim_archive(prefix, archived, limit, cutoff, budget, fresh)
  local spared = {}
  for _, id in ipairs(fresh) do spared[id] = true end
  local over = redis.call('ZRANGEBYSCORE', archived, '-inf', cutoff, 'LIMIT', 0, budget)
  local excess = redis.call('ZCARD', archived) - #over - limit
  if excess > 0 and #over < budget then
    local first, last = #over, math.min(#over + excess, budget)
    for _, id in ipairs(redis.call('ZRANGE', archived, first, last + #fresh - 1)) do
      if #over < last and not spared[id] then over[#over + 1] = id end
    end
  end
  for _, id in ipairs(over) do
    local key = prefix .. 't:' .. id
    release_lock(prefix, key, id)
    redis.call('DEL', key)
    redis.call('ZREM', archived, id)
  end
  if #over > 0 then redis.call('HINCRBY', prefix .. 'asynqio:counts', 'evicted', #over) end
  return #over
end
