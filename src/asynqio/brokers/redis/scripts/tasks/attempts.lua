-- What is kept of the attempts at some tasks of one queue; changes nothing.
--
-- KEYS  one task hash per task
-- ARGV  1 how many attempts are kept
-- Returns per task {state, token, msg, what is known of the attempt that goes on, number of the last one that was
-- recorded, its record, that of the one before …}, with false for what is missing; false for a task that is not there.
-- Cost  O(tasks · attempts kept)
local answer = {}
for at, key in ipairs(KEYS) do
  local task = redis.pcall('HMGET', key, 'state', 'asynqio:lease', 'msg', 'asynqio:live', 'asynqio:runs')
  if task[1] then
    local last = tonumber(task[5]) or 0
    task[5] = last
    if last > 0 then
      local names = {}
      for number = last, math.max(last - ARGV[1] + 1, 1), -1 do names[#names + 1] = 'asynqio:run:' .. number end
      for _, record in ipairs(redis.call('HMGET', key, unpack(names))) do task[#task + 1] = record end
    end
    answer[at] = task
  else
    answer[at] = false
  end
end
return answer
