-- Delete the members of a batch, and the batch. One DEL for many keys costs half as much as one per key.
-- include: lib/unique_lock
local function remove_members(prefix, batch, batches)
  local keys, locks, holders = {}, {}, {}
  for _, id in ipairs(redis.call('ZRANGE', batch, 0, -1)) do
    local key = prefix .. 't:' .. id
    local lock = redis.pcall('HGET', key, 'unique_key')
    if type(lock) == 'string' and lock ~= '' then
      locks[#locks + 1], holders[#holders + 1] = lock, id
    elseif not lock then
      release_lock(prefix, key, id)
    end
    keys[#keys + 1] = key
  end
  for at = 1, #locks, 1000 do
    local last = math.min(at + 999, #locks)
    for offset, holder in ipairs(redis.call('MGET', unpack(locks, at, last))) do
      if holder == holders[at + offset - 1] then keys[#keys + 1] = locks[at + offset - 1] end
    end
  end
  for at = 1, #keys, 1000 do redis.call('DEL', unpack(keys, at, math.min(at + 999, #keys))) end
  redis.call('DEL', batch)
  redis.call('ZREM', batches, batch)
end
