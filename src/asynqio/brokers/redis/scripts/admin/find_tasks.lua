-- Read tasks of one queue by id; changes nothing.
--
-- KEYS  1 lease · 2 scheduled · 3 retry · 4… one task hash per id
-- ARGV  1 queue prefix · 2 now, seconds · 3 archive cutoff, seconds · then one id per hash
-- Returns one row per id, as list_tasks does; false for a missing task. Fewer rows than ids if the reply is large.
-- Cost  O(ids · log n). include: lib/outlived lib/reply_bytes
local zsets = {active = KEYS[1], scheduled = KEYS[2], retry = KEYS[3]}
local answer, left = {}, REPLY_BYTES
for at = 1, #KEYS - 3 do
  if left <= 0 then break end
  local id = ARGV[3 + at]
  local task = redis.pcall(
    'HMGET', KEYS[3 + at], 'state', 'msg', 'pending_since', 'result', 'asynqio:progress', 'asynqio:strikes')
  local state = task[1]
  if state and not outlived(ARGV[1], id, state, ARGV[2], ARGV[3]) then
    local zset = zsets[state]
    local score = zset and redis.call('ZSCORE', zset, id)
    left = left - bytes_of(task)
    answer[at] = {id, state, task[2], task[3], task[4], task[5], task[6], score or false}
  else
    answer[at] = false
  end
end
return answer
