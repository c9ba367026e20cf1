-- Find the active tasks of queues that carry a token: those of a dequeue whose reply was lost (B25) or unreadable.
--
-- KEYS  per queue: 1 active
-- ARGV  1 token · 2… task prefix per queue
-- Returns per queue {id, msg, counters or false…}, in dequeue order.
-- Cost  O(active)
local answer = {}
for queue = 1, #KEYS do
  local found = {}
  local ids = redis.call('LRANGE', KEYS[queue], 0, -1)
  for at = #ids, 1, -1 do
    local task = redis.pcall('HMGET', ARGV[1 + queue] .. ids[at], 'asynqio:lease', 'msg', 'asynqio:strikes')
    if task[1] == ARGV[1] and task[2] then
      found[#found + 1] = ids[at]
      found[#found + 1] = task[2]
      found[#found + 1] = task[3]
    end
  end
  answer[queue] = found
end
return answer
