-- The members of a batch are gone, and so is the batch. include: lib_lock
local function dissolve(prefix, batch, batches)
  for _, id in ipairs(redis.call('ZRANGE', batch, 0, -1)) do
    local key = prefix .. 't:' .. id
    release(prefix, key, id)
    redis.call('DEL', key)
  end
  redis.call('DEL', batch)
  redis.call('ZREM', batches, batch)
end
