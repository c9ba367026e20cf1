-- Delete tasks past their retention, trim the archive, release stale batches and lapsed locks (B3, B10, B12), and list
-- groups that Go did not list. Each kind of work has a budget per call; the caller repeats the call until none is left.
--
-- KEYS  per queue: 1 completed · 2 archived · 3 aggregation_sets · 4 groups · 5 known groups (ours)
-- ARGV  1 now, seconds · 2 now · 3 most completed tasks to delete · 4 archive limit · 5 archive cutoff, seconds
--       6 most archived tasks to evict, and most locks to free · 7 most batch members to release
--       8 names of groups to read · 9 the error of a batch whose claim expired
--       10 seconds in which a group counts one such failure
--       11… per queue: prefix, and where to read on in the known groups, '' for not at all
-- Returns {tasks deleted, when more will be due or false, 1 if work is left, but for completed tasks, per queue where to
-- read on in the known groups}.
-- Cost  O(tasks deleted · log n + locks + members released + names read)
-- include: lib/trim_archive lib_groups/group_failure lib_groups/group_index lib/write_when_full
local now, exact, left = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local evictions, locks_left, members_left = tonumber(ARGV[6]), tonumber(ARGV[6]), tonumber(ARGV[7])
local page = math.max(10, math.ceil(ARGV[8] / (#KEYS / 5)))
local deleted, coming, more, cursors = 0, false, 0, {}

write_when_full(KEYS[1])

local function next_due(moment)
  if moment and (not coming or tonumber(moment) < tonumber(coming)) then coming = moment end
end

local function delete_completed(prefix, completed)
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
end

-- The claim of a batch of ours expired: its server died, or the store was away. That counts as a failure of the group.
local function count_failure(prefix, group, id, oldest_at)
  if not id:match('^%x+%-%d+$') or #id:match('^%x+') ~= 32 then return end -- Go's
  local before, failures = read_failure(prefix, group)
  -- The batches of one dead server count once.
  if before and exact - tonumber(before:match('^%S+ (%S+)')) < tonumber(ARGV[10]) then return end
  failures = (failures or 0) + 1
  local retry_at = exact + math.min(2 ^ math.min(failures - 1, 16), 300)
  local failure = string.format('%d %.17g %.17g %s\n%s', failures, exact, retry_at, oldest_at, ARGV[9])
  redis.call('HSET', prefix .. 'asynqio:group_failures', group, failure)
  redis.call('HDEL', prefix .. 'asynqio:flushed', group)
end

local function release_batches(prefix, batches, known)
  -- Remember the groups of claimed batches, in case a Go server releases one without listing its group.
  for _, batch in ipairs(redis.call('ZRANGE', batches, 0, 19)) do
    redis.call('ZADD', known, 'GT', now + 600, batch:match('^(.*):[^:]*$'):sub(#prefix + 3))
  end
  for _, batch in ipairs(redis.call('ZRANGEBYSCORE', batches, '-inf', now, 'LIMIT', 0, 20)) do
    local members, id = batch:match('^(.*):([^:]*)$')
    local group = members:sub(#prefix + 3)
    local given = members_left > 0 and redis.call('ZRANGE', batch, 0, members_left - 1, 'WITHSCORES') or {}
    if #given > 0 then
      local pairs = {}
      for at = 1, #given, 2 do pairs[at], pairs[at + 1] = given[at + 1], given[at] end
      redis.call('ZADD', members, 'LT', unpack(pairs))
      redis.call('ZREMRANGEBYRANK', batch, 0, #given / 2 - 1)
      members_left = members_left - #given / 2
      group_joined(prefix, group, now)
    end
    if redis.call('EXISTS', batch) == 0 then
      redis.call('ZREM', batches, batch)
      if #given > 0 then count_failure(prefix, group, id, given[2]) end
    else
      more = 1
    end
  end
  local first = redis.call('ZRANGE', batches, 0, 0, 'WITHSCORES')[2]
  if first and tonumber(first) <= now then more = 1 else next_due(first) end
end

local function free_locks(prefix)
  local throttles = prefix .. 'asynqio:locks'
  if locks_left <= 0 then
    more = 1
    return
  end
  local lapsed = redis.call('ZRANGEBYSCORE', throttles, '-inf', now, 'LIMIT', 0, locks_left)
  for _, entry in ipairs(lapsed) do
    local id, lock = entry:match('^(.-)\n(.*)$')
    -- Redis may keep the key a little longer. Do not free it if it is that task's own lock by now.
    if redis.pcall('HGET', prefix .. 't:' .. id, 'unique_key') ~= lock then unlock(lock, id) end
  end
  if #lapsed > 0 then redis.call('ZREM', throttles, unpack(lapsed)) end
  locks_left = locks_left - #lapsed
  if locks_left <= 0 then more = 1 end
end

-- Go's forwarder adds a task to a group without listing the group, so no server would aggregate it (B3). List such
-- groups, and forget the names of empty ones when their time is over.
local function read_names(prefix, groups, known, cursor)
  local found = redis.call('ZSCAN', known, cursor, 'COUNT', page)
  local names, untils = {}, {}
  for at = 1, #found[2], 2 do
    names[#names + 1], untils[#untils + 1] = found[2][at], tonumber(found[2][at + 1])
  end
  for first = 1, #names, 1000 do
    local some = {unpack(names, first, math.min(first + 999, #names))}
    for at, listed in ipairs(redis.call('SMISMEMBER', groups, unpack(some))) do
      local group, over = some[at], untils[first + at - 1] <= now
      if (listed == 0 or over) and redis.call('EXISTS', prefix .. 'g:' .. group) == 1 then
        if listed == 0 then
          redis.call('SADD', groups, group)
          group_changed(prefix, group)
        end
      elseif over then
        redis.call('SREM', groups, group)
        redis.call('ZREM', known, group)
        redis.call('HDEL', prefix .. 'asynqio:group_failures', group)
        redis.call('HDEL', prefix .. 'asynqio:flushed', group)
      end
    end
  end
  return found[1]
end

for queue = 0, #KEYS / 5 - 1 do
  local completed, archived, batches, groups, known = unpack(KEYS, queue * 5 + 1, queue * 5 + 5)
  local prefix, cursor = ARGV[11 + 2 * queue], ARGV[12 + 2 * queue]
  delete_completed(prefix, completed)
  if evictions > 0 then
    evictions = evictions - trim_archive(prefix, archived, tonumber(ARGV[4]), ARGV[5], evictions, {})
  end
  if evictions <= 0 then more = 1 end
  release_batches(prefix, batches, known)
  free_locks(prefix)
  drop_unused_rules(prefix, now)
  cursors[queue + 1] = cursor ~= '' and read_names(prefix, groups, known, cursor) or ''
end
return {deleted, coming, more, unpack(cursors)}
