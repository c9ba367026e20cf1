-- Claim ripe groups of one queue for aggregation. A batch is Go's aggregation set.
--
-- KEYS  1 groups · 2 aggregation_sets · 3 flushed (ours) · 4… the members of each group to check
-- ARGV  1 queue prefix · 2 now · 3 end of the claim, seconds · 4 most batches · 5 most members in all of them
--       6 batch id; batches are named <id>-1, <id>-2 …
--       then per group: name, grace, max delay, most members of a batch, 1 if that many make the group ripe
-- Returns {when the next group will be ripe or false, 1 if more is ripe than the member limit allowed,
-- {batch id, group, id, msg or false, counters or false, id …}…}.
-- Cost  O(groups checked + members claimed · log members)
local prefix, now, expires, limit, left = ARGV[1], tonumber(ARGV[2]), ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5])
local claimed, coming, more = {}, false, 0

-- How many members to take now, and when the group will be ripe. core/groups.py has the same rule in Python.
local function ripe(key, group, at)
  local count = redis.call('ZCARD', key)
  if count == 0 then return 0 end
  local grace, delay, most = tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2]), tonumber(ARGV[at + 3])
  if ARGV[at + 4] == '1' and count >= most then return most end
  local oldest = tonumber(redis.call('ZRANGE', key, 0, 0, 'WITHSCORES')[2])
  local newest = tonumber(redis.call('ZRANGE', key, -1, -1, 'WITHSCORES')[2])
  if (delay > 0 and oldest <= now - delay) or newest <= now - grace then return math.min(count, most) end
  local flushed = redis.call('HGET', KEYS[3], group)
  if flushed then
    if oldest <= tonumber(flushed) then return math.min(count, most) end
    redis.call('HDEL', KEYS[3], group)
  end
  local soon = newest + grace
  if delay > 0 then soon = math.min(soon, oldest + delay) end
  return 0, soon
end

-- Turn the first members of a group into a batch. Ids without a task are removed (B31).
local function claim(members, group, count)
  local id = ARGV[6] .. '-' .. (#claimed + 1)
  local taken = redis.call('ZRANGE', members, 0, count - 1, 'WITHSCORES')
  local found, batch, ghosts = {id, group}, {}, 0
  for at = 1, #taken, 2 do
    local member = taken[at]
    local key = prefix .. 't:' .. member
    local task = redis.pcall('HMGET', key, 'msg', 'asynqio:strikes')
    if task[1] then
      batch[#batch + 1] = taken[at + 1]
      batch[#batch + 1] = member
      found[#found + 1] = member
      found[#found + 1] = task[1]
      found[#found + 1] = task[2] or false
    else
      ghosts = ghosts + 1
      if not task.err then redis.call('DEL', key) end
    end
  end
  redis.call('ZREMRANGEBYRANK', members, 0, count - 1)
  if redis.call('EXISTS', members) == 0 then
    redis.call('SREM', KEYS[1], group)
    redis.call('HDEL', KEYS[3], group)
  end
  if ghosts > 0 then redis.call('HINCRBY', prefix .. 'asynqio:counts', 'quarantined', ghosts) end
  if #batch > 0 then
    redis.call('ZADD', members .. ':' .. id, unpack(batch))
    redis.call('ZADD', KEYS[2], expires, members .. ':' .. id)
    claimed[#claimed + 1] = found
  end
end

for number = 1, #KEYS - 3 do
  local members, at = KEYS[number + 3], 5 * number + 2
  local group = ARGV[at]
  while #claimed < limit do
    local count, soon = ripe(members, group, at)
    if count == 0 then
      if soon and (not coming or soon < coming) then coming = soon end
      break
    end
    if count > left then
      more = 1
      break
    end
    claim(members, group, count)
    left = left - count
  end
end
return {coming and tostring(coming) or false, more, unpack(claimed)}
