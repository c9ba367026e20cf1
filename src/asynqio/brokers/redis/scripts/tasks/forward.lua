-- Move due tasks of queues to pending or to their groups, earliest first (corrects B3).
--
-- KEYS  per queue: 1 scheduled · 2 retry · 3 soon (ours) · 4 pending · 5 groups
-- ARGV  1 now, whole seconds · 2 now, nanoseconds · 3 limit · 4 score for tasks that join a group · 5 now, seconds
--       6… queue prefix per queue
-- Returns {how many were moved, due time of the next one or false}. Messages in the layout of Go before 0.18 are moved
-- to `asynqio:old`, where the doctor reports them.
-- Cost  O(tasks moved · log waiting + queues). include: lib_groups/group_index lib/old_message
local now, now_ns, left, exact = ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[5]
local moved, coming = 0, false
-- Outdated ids of `soon` that one call removes before it returns their due time.
local OUTDATED = 100

-- The set that a task of `soon` waits in; false if it was moved, or delayed again, in the meantime.
local function source_of(sets, id, at)
  for set = 1, 2 do
    if tonumber(redis.call('ZSCORE', sets[set], id)) == math.ceil(at) then return sets[set] end
  end
  return false
end

for queue = 0, #KEYS / 5 - 1 do
  local scheduled, retry, soon, pending = unpack(KEYS, queue * 5 + 1, queue * 5 + 4)
  local prefix, sets, limits = ARGV[6 + queue], {scheduled, retry, soon}, {now, now, exact}
  local lists, at, waiting = {}, {1, 1, 1}, {}
  for set = 1, 3 do
    lists[set] = left > 0
      and redis.call('ZRANGEBYSCORE', sets[set], '-inf', limits[set], 'WITHSCORES', 'LIMIT', 0, left) or {}
  end
  if #lists[1] + #lists[2] + #lists[3] > 0 then redis.call('LLEN', pending) end -- fails before anything is changed
  while left > 0 do
    local earliest, score
    for set = 3, 1, -1 do
      local due = tonumber(lists[set][at[set] + 1])
      if due and (not score or due < score or (set == 1 and due == score and earliest == 2)) then earliest, score = set, due end
    end
    if not earliest then break end
    local id, source = lists[earliest][at[earliest]], sets[earliest]
    at[earliest] = at[earliest] + 2
    if earliest == 3 then
      redis.call('ZREM', soon, id)
      source = source_of(sets, id, score)
    end
    local key, old = prefix .. 't:' .. id, is_old_message(id)
    if old and source then redis.call('ZADD', prefix .. 'asynqio:old', redis.call('ZSCORE', source, id), id) end
    -- A task of `soon` that is due for a whole second is in two lists.
    local task = source and redis.call('ZREM', source, id) == 1 and redis.pcall('HMGET', key, 'msg', 'group')
    if not task then
      -- It was moved already.
    elseif not task[1] then
      if not old then redis.call('HINCRBY', prefix .. 'asynqio:counts', 'quarantined', 1) end
      if not task.err then redis.call('DEL', key) end
    elseif task[2] and task[2] ~= '' then
      redis.call('HSET', key, 'state', 'aggregating')
      redis.call('ZADD', prefix .. 'g:' .. task[2], ARGV[4], id)
      group_joined(prefix, task[2], tonumber(ARGV[4]))
      moved, left = moved + 1, left - 1
    else
      redis.call('HSET', key, 'state', 'pending', 'pending_since', now_ns)
      waiting[#waiting + 1] = id
      moved, left = moved + 1, left - 1
    end
  end
  if #waiting > 0 then redis.call('LPUSH', pending, unpack(waiting)) end
  for _ = 1, OUTDATED do
    local next = redis.call('ZRANGE', soon, 0, 0, 'WITHSCORES')
    if not next[1] or source_of(sets, next[1], next[2]) then break end
    redis.call('ZREM', soon, next[1])
  end
  for _, source in ipairs(sets) do
    local next = redis.call('ZRANGE', source, 0, 0, 'WITHSCORES')[2]
    if next and (not coming or tonumber(next) < tonumber(coming)) then coming = next end
  end
end
return {moved, coming}
