-- Read the attempt records of tasks of one queue; changes nothing.
--
-- KEYS  one task hash per task
-- ARGV  1 how many attempts are kept · 2 queue prefix · 3 now, seconds · 4 archive cutoff, seconds · 5… one id per task
-- Returns per task {state, token, msg, record of the current attempt, number of the last recorded attempt, its record,
-- the one before …}, with false for a missing value; false for a missing task. Fewer answers than tasks if the reply is
-- large.
-- Cost  O(tasks · attempts kept). include: lib/outlived lib/reply_bytes
local answer, left = {}, REPLY_BYTES
for at, key in ipairs(KEYS) do
  if left <= 0 then break end
  local task = redis.pcall('HMGET', key, 'state', 'asynqio:lease', 'msg', 'asynqio:live', 'asynqio:runs')
  if task[1] and not outlived(ARGV[2], ARGV[4 + at], task[1], ARGV[3], ARGV[4]) then
    local last = tonumber(task[5]) or 0
    task[5] = false
    if last > 0 then
      local names = {}
      for number = last, math.max(last - ARGV[1] + 1, 1), -1 do names[#names + 1] = 'asynqio:run:' .. number end
      for _, record in ipairs(redis.call('HMGET', key, unpack(names))) do task[#task + 1] = record end
    end
    left = left - bytes_of(task)
    task[5] = last
    answer[at] = task
  else
    answer[at] = false
  end
end
return answer
