-- Claim ripe groups as batches. A batch is Go's aggregation set. For scripts whose arguments begin with
-- ARGV  1 now · 2 end of the claim, seconds · 3 most batches · 4 most members in all of them
--       5 batch id; batches are named <id>-1, <id>-2 …
-- include: lib_groups/group_failure
local now, expires, limit, left = tonumber(ARGV[1]), ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
-- {number of the queue, batch id, group, when the oldest member joined, failures or false, id, msg or false, counters or
-- false, id …}…
local claimed = {}

-- How many members to take now, or when the group will be ripe; neither if it is empty. core/groups.py has the same.
local function ripe(queue, members, group, rule)
  local count = redis.call('ZCARD', members)
  if count == 0 then return 0 end
  local oldest = tonumber(redis.call('ZRANGE', members, 0, 0, 'WITHSCORES')[2])
  local newest = tonumber(redis.call('ZRANGE', members, -1, -1, 'WITHSCORES')[2])
  local flushed = redis.call('HGET', queue.flushed, group)
  if flushed then
    if oldest <= tonumber(flushed) then return math.min(count, rule.most) end
    redis.call('HDEL', queue.flushed, group)
  end
  local _, _, retry_at = read_failure(queue.prefix, group)
  if not retry_at or retry_at <= now then
    if rule.sized and count >= rule.most then return rule.most end
    if (rule.delay > 0 and oldest <= now - rule.delay) or newest <= now - rule.grace then
      return math.min(count, rule.most)
    end
  end
  local soon = newest + rule.grace
  if rule.delay > 0 then soon = math.min(soon, oldest + rule.delay) end
  if rule.sized and count >= rule.most then soon = newest end
  return 0, math.max(soon, retry_at or 0, now + 0.001)
end

-- Turn the first members of a group into a batch. Ids without a task are removed (B31).
local function claim(queue, members, group, count)
  local id = ARGV[5] .. '-' .. (#claimed + 1)
  local taken = redis.call('ZRANGE', members, 0, count - 1, 'WITHSCORES')
  local found = {queue.number, id, group, taken[2], (read_failure(queue.prefix, group)) or false}
  local batch, ghosts = {}, 0
  for at = 1, #taken, 2 do
    local member = taken[at]
    local key = queue.prefix .. 't:' .. member
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
    redis.call('SREM', queue.groups, group)
    redis.call('HDEL', queue.flushed, group)
  end
  if ghosts > 0 then redis.call('HINCRBY', queue.prefix .. 'asynqio:counts', 'quarantined', ghosts) end
  left = left - count
  if #batch > 0 then
    redis.call('ZADD', members .. ':' .. id, unpack(batch))
    redis.call('ZADD', queue.batches, expires, members .. ':' .. id)
    claimed[#claimed + 1] = found
  end
end

-- Claim a group as far as it is ripe. Returns when to check it again: 0 if it is ripe but no more may be claimed, nil if
-- it is empty.
local function claim_group(queue, group, rule)
  local members = queue.prefix .. 'g:' .. group
  while true do
    local count, soon = ripe(queue, members, group, rule)
    if soon then return soon end
    if count == 0 then
      redis.call('HDEL', queue.flushed, group)
      local remembered = redis.call('ZSCORE', queue.known, group)
      if not remembered or tonumber(remembered) <= now then redis.call('SREM', queue.groups, group) end
      return nil
    end
    if #claimed >= limit or count > left then return 0 end
    claim(queue, members, group, count)
  end
end
