-- Claim ripe groups of one queue for aggregation (spec 3.7). A batch is an aggregation set as Go keeps it.
--
-- KEYS  1 groups · 2 aggregation_sets · 3… the members of each group looked at
-- ARGV  1 queue prefix · 2 now · 3 grace · 4 max delay · 5 max size · 6 end of the claim, seconds · 7 limit
--       8 batch id; the batches are called <id>-1, <id>-2 … · 9… name of each group
-- Gives {when the next group will be ripe or false, {batch id, group, id, msg or false, strikes or false, id …}…}.
-- Cost  O(groups looked at + members claimed · log members)
local prefix, now, grace, delay, size = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local expires, limit = ARGV[6], tonumber(ARGV[7])
local claimed, coming = {}, false

-- How many members to take now (core/groups.py has the same in Python), and when there will be some.
local function ripe(key)
  local count = redis.call('ZCARD', key)
  if count == 0 then return 0 end
  if size > 0 and count >= size then return size end
  local oldest = tonumber(redis.call('ZRANGE', key, 0, 0, 'WITHSCORES')[2])
  local newest = tonumber(redis.call('ZRANGE', key, -1, -1, 'WITHSCORES')[2])
  if (delay > 0 and oldest <= now - delay) or newest <= now - grace then
    return size > 0 and math.min(count, size) or count
  end
  local at = newest + grace
  if delay > 0 then at = math.min(at, oldest + delay) end
  return 0, at
end

for number = 1, #KEYS - 2 do
  local members, group = KEYS[number + 2], ARGV[8 + number]
  while #claimed < limit do
    local count, at = ripe(members)
    if count == 0 then
      if at and (not coming or at < coming) then coming = at end
      break
    end
    local id = ARGV[8] .. '-' .. (#claimed + 1)
    local batch = members .. ':' .. id
    local taken = redis.call('ZRANGE', members, 0, count - 1, 'WITHSCORES')
    local found, size_of_batch = {id, group}, 0
    for at = 1, #taken, 2 do
      local member = taken[at]
      local key = prefix .. 't:' .. member
      local task = redis.pcall('HMGET', key, 'msg', 'asynqio:strikes')
      if task[1] then
        redis.call('ZADD', batch, taken[at + 1], member)
        size_of_batch = size_of_batch + 1
        found[#found + 1] = member
        found[#found + 1] = task[1]
        found[#found + 1] = task[2] or false
      else
        redis.call('HINCRBY', prefix .. 'asynqio:counts', 'quarantined', 1)
        if not task.err then redis.call('DEL', key) end
      end
    end
    redis.call('ZREMRANGEBYRANK', members, 0, count - 1)
    if redis.call('EXISTS', members) == 0 then redis.call('SREM', KEYS[1], group) end
    if size_of_batch > 0 then
      redis.call('ZADD', KEYS[2], expires, batch)
      claimed[#claimed + 1] = found
    end
  end
end
return {coming and tostring(coming) or false, unpack(claimed)}
