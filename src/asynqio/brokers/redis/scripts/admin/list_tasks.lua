-- Read a page of the tasks in one state of one queue, in display order; changes nothing.
--
-- KEYS  1 the list or sorted set of the state · 2 lease
-- ARGV  1 state · 2 first and 3 last position, 0 is shown first · 4 task prefix
--       5 completed, archived: tasks with this score or a lower one count as deleted
-- Returns {id, state, msg, pending_since, result, progress, failure counters, score} per task; false for a missing value.
-- If the reply is large, '+' follows the first tasks of the page.
-- Cost  O(last - first); sorted set: + log n; list: + first. include: lib/reply_bytes
local state, first, last, prefix = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[4]
local ids, scores = {}, {}
if state == 'pending' or state == 'active' then
  -- The right end is the oldest.
  local found = redis.call('LRANGE', KEYS[1], -last - 1, -first - 1)
  for at = #found, 1, -1 do
    ids[#ids + 1] = found[at]
    scores[#ids] = state == 'active' and redis.call('ZSCORE', KEYS[2], found[at])
  end
else
  local newest_first = state == 'archived' or state == 'completed'
  local found = redis.call(newest_first and 'ZREVRANGE' or 'ZRANGE', KEYS[1], first, last, 'WITHSCORES')
  for at = 1, #found, 2 do
    if newest_first and tonumber(found[at + 1]) <= tonumber(ARGV[5]) then break end
    ids[#ids + 1] = found[at]
    scores[#ids] = found[at + 1]
  end
end
local answer, left = {}, REPLY_BYTES
for at, id in ipairs(ids) do
  if left <= 0 then
    answer[at] = '+'
    break
  end
  local task = redis.pcall(
    'HMGET', prefix .. id, 'msg', 'pending_since', 'result', 'asynqio:progress', 'asynqio:strikes')
  if task.err then task = {false, false, false, false, false} end
  left = left - bytes_of(task)
  answer[at] = {id, state, task[1], task[2], task[3], task[4], task[5], scores[at] or false}
end
return answer
