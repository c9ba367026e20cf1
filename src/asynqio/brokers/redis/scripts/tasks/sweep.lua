-- Delete tasks past their retention, trim the archive, release stale batches and lapsed locks (B3, B10, B12).
--
-- KEYS  per queue: 1 completed · 2 archived · 3 aggregation_sets · 4 groups · 5 known groups (ours)
-- ARGV  1 now, seconds · 2 limit · 3 archive limit · 4 archive cutoff, seconds
--       5 most tasks to evict per archive · 6 most batch members to release · 7… queue prefix per queue
-- Returns {tasks deleted, when more will be due or false, 1 if more batch members must be released, most tasks evicted
-- from one archive}.
-- Cost  O(tasks deleted · log n + members released + groups known)
-- include: lib/trim_archive lib/write_when_full
local now, left, members_left = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[6])
local deleted, coming, more, trimmed = 0, false, 0, 0

write_when_full(KEYS[1])

local function next_due(moment)
  if moment and (not coming or tonumber(moment) < tonumber(coming)) then coming = moment end
end

for queue = 0, #KEYS / 5 - 1 do
  local completed, archived, batches, groups, known = unpack(KEYS, queue * 5 + 1, queue * 5 + 5)
  local prefix = ARGV[7 + queue]
  if left > 0 then
    for _, id in ipairs(redis.call('ZRANGEBYSCORE', completed, '-inf', now, 'LIMIT', 0, left)) do
      local key = prefix .. 't:' .. id
      release_lock(prefix, key, id)
      redis.call('DEL', key)
      redis.call('ZREM', completed, id)
      deleted, left = deleted + 1, left - 1
    end
  end
  next_due(redis.call('ZRANGE', completed, 0, 0, 'WITHSCORES')[2])
  trimmed = math.max(trimmed, trim_archive(prefix, archived, tonumber(ARGV[3]), ARGV[4], tonumber(ARGV[5]), {}))
  -- Remember the groups of claimed batches, in case a Go server releases one without listing its group.
  for _, batch in ipairs(redis.call('ZRANGE', batches, 0, 99)) do
    redis.call('ZADD', known, now, batch:match('^(.*):[^:]*$'):sub(#prefix + 3))
  end
  for _, batch in ipairs(redis.call('ZRANGEBYSCORE', batches, '-inf', now, 'LIMIT', 0, 20)) do
    local members = batch:match('^(.*):[^:]*$')
    if members_left > 0 then
      local given = redis.call('ZRANGE', batch, 0, members_left - 1, 'WITHSCORES')
      for at = 1, #given, 2000 do
        local pairs = {}
        for index = at, math.min(at + 1999, #given), 2 do
          pairs[#pairs + 1] = given[index + 1]
          pairs[#pairs + 1] = given[index]
        end
        redis.call('ZADD', members, 'LT', unpack(pairs))
      end
      redis.call('ZREMRANGEBYRANK', batch, 0, members_left - 1)
      members_left = members_left - #given / 2
      redis.call('SADD', groups, members:sub(#prefix + 3))
    end
    if redis.call('EXISTS', batch) == 0 then redis.call('ZREM', batches, batch) else more = 1 end
  end
  next_due(redis.call('ZRANGE', batches, 0, 0, 'WITHSCORES')[2])
  local lapsed = redis.call('ZRANGEBYSCORE', prefix .. 'asynqio:locks', '-inf', now, 'LIMIT', 0, 500)
  for _, entry in ipairs(lapsed) do
    local id, lock = entry:match('^(.-)\n(.*)$')
    -- Redis may keep the key a little longer. Do not free it if it is that task's own lock by now.
    if redis.pcall('HGET', prefix .. 't:' .. id, 'unique_key') ~= lock then unlock(lock, id) end
  end
  if #lapsed > 0 then redis.call('ZREM', prefix .. 'asynqio:locks', unpack(lapsed)) end
  -- Go's forwarder adds a task to a group without listing the group, so no server would aggregate it (B3).
  -- A group without a new member for a week is no longer tracked.
  redis.call('ZREMRANGEBYSCORE', known, '-inf', now - 604800)
  for _, group in ipairs(redis.call('ZDIFF', 2, known, groups)) do
    if redis.call('EXISTS', prefix .. 'g:' .. group) == 1 then
      redis.call('SADD', groups, group)
    end
  end
end
return {deleted, coming, more, trimmed}
