-- Read the recorded states of tasks; changes nothing.
--
-- KEYS  1 pending (not read; routes the call in a cluster) · 2… one task hash per id
-- Returns per id its state, 'none' for a task without one, false for an id without a task.
-- Cost  O(ids)
local answer = {}
for at = 2, #KEYS do
  local task = redis.pcall('HMGET', KEYS[at], 'msg', 'state')
  answer[at - 1] = task[1] and (task[2] or 'none') or false
end
return answer
