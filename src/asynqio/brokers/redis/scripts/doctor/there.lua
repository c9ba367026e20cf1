-- Which of some ids have a task, and what state it says it is in.
--
-- KEYS  1 pending (not looked at: it says which queue) · 2… one task hash per id
-- Returns its state, 'none' for a task that says nothing, false for an id without a task.
-- Cost  O(ids)
local answer = {}
for at = 2, #KEYS do
  local task = redis.pcall('HMGET', KEYS[at], 'msg', 'state')
  answer[at - 1] = task[1] and (task[2] or 'none') or false
end
return answer
