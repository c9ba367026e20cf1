-- Move due tasks of queues to pending or to their groups, earliest first (corrects B3).
--
-- KEYS  per queue: 1 scheduled · 2 retry · 3 pending · 4 groups
-- ARGV  1 now, seconds · 2 now, nanoseconds · 3 limit · 4 score for tasks that join a group
--       5… queue prefix per queue
-- Returns {how many were moved, due time of the next one or false}.
-- Cost  O(tasks moved · log waiting + queues). include: lib/group_index
local now, now_ns, left = ARGV[1], ARGV[2], tonumber(ARGV[3])
local moved, coming = 0, false

local function due(key)
  return left > 0 and redis.call('ZRANGEBYSCORE', key, '-inf', now, 'WITHSCORES', 'LIMIT', 0, left) or {}
end

for queue = 0, #KEYS / 4 - 1 do
  local scheduled, retry, pending = unpack(KEYS, queue * 4 + 1, queue * 4 + 3)
  local prefix = ARGV[5 + queue]
  local one, two = due(scheduled), due(retry)
  if #one + #two > 0 then redis.call('LLEN', pending) end -- fails before anything is changed
  local first, second, waiting = 1, 1, {}
  while left > 0 and (first < #one or second < #two) do
    local id, source
    if second > #two or (first < #one and tonumber(one[first + 1]) <= tonumber(two[second + 1])) then
      id, source, first = one[first], scheduled, first + 2
    else
      id, source, second = two[second], retry, second + 2
    end
    redis.call('ZREM', source, id)
    local key = prefix .. 't:' .. id
    local task = redis.pcall('HMGET', key, 'msg', 'group')
    if not task[1] then
      redis.call('HINCRBY', prefix .. 'asynqio:counts', 'quarantined', 1)
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
  for _, source in ipairs({scheduled, retry}) do
    local next = redis.call('ZRANGE', source, 0, 0, 'WITHSCORES')[2]
    if next and (not coming or tonumber(next) < tonumber(coming)) then coming = next end
  end
end
return {moved, coming}
