-- Remove a task from `active`, whose front has the task that started last. LREM searches from one end up to the task:
-- short tasks beside many long ones are near the front, tasks that end in the order of their start are near the back. So
-- find the end first: LPOS searches a bounded part of the list.
local SMALL = 256
local function remove_active(active, id, length)
  local reach = SMALL
  while reach * 4 <= length do
    if redis.call('LPOS', active, id, 'MAXLEN', reach) then return redis.call('LREM', active, 1, id) end
    if redis.call('LPOS', active, id, 'RANK', -1, 'MAXLEN', reach) then return redis.call('LREM', active, -1, id) end
    reach = reach * 4
  end
  return redis.call('LREM', active, -1, id)
end
