-- The members of a batch are gone, and so is the batch. include: lib_lock
local function dissolve(prefix, batch, batches)
  local gone = {}
  for _, id in ipairs(redis.call('ZRANGE', batch, 0, -1)) do
    local key = prefix .. 't:' .. id
    release(prefix, key, id)
    gone[#gone + 1] = key
  end
  for at = 1, #gone, 1000 do redis.call('DEL', unpack(gone, at, math.min(at + 999, #gone))) end
  redis.call('DEL', batch)
  redis.call('ZREM', batches, batch)
end
