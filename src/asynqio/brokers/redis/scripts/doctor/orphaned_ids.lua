-- Find ids without a task, and tasks in no list or set, exactly and atomically (B7, B8, B11).
--
-- KEYS  1 pending · 2… one task hash per id
-- ARGV  1 queue prefix · 2 now, seconds · 3 fix (1: repair) · 4… ids
-- Returns one character per id: 1 consistent, 0 an id without a task, 2 a task in no list or set.
-- Repair removes the id from every list and set, or archives the task for an operator to run or delete.
-- Cost  O(ids · (pending + active + log n + batches)): call it only for ids that looked inconsistent before.
-- include: lib/find_place lib/write_when_full
local prefix, fix = ARGV[1], ARGV[3] == '1'
if fix then write_when_full(KEYS[1]) end
local answers = {}
for at = 1, #KEYS - 1 do
  local key, id = KEYS[at + 1], ARGV[at + 3]
  local task = redis.pcall('HMGET', key, 'msg', 'group')
  local inside = has_place(prefix, id, task[2])
  if task[1] and not inside then
    answers[at] = '2'
    if fix then
      redis.call('ZADD', prefix .. 'archived', ARGV[2], id)
      redis.call('HSET', key, 'state', 'archived')
      redis.call('HDEL', key, 'pending_since', 'asynqio:lease')
    end
  elseif inside and not task[1] then
    answers[at] = '0'
    if fix then
      for _, list in ipairs(LISTS) do redis.call('LREM', prefix .. list, 0, id) end
      for _, set in ipairs(SETS) do redis.call('ZREM', prefix .. set, id) end
      redis.call('ZREM', prefix .. 'lease', id)
      if not task.err then redis.call('DEL', key) end
      redis.call('HINCRBY', prefix .. 'asynqio:counts', 'quarantined', 1)
    end
  else
    answers[at] = '1'
  end
end
return table.concat(answers)
