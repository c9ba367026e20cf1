-- Add a task to `scheduled` or `retry`. Their scores are whole seconds, because Go cannot read others. A due time with a
-- decimal point is less than a second away, and exact: `asynqio:soon` has it as well, for our forwarder. What moves the
-- task leaves it there: an entry counts only while the task waits for the next whole second.
local function delay_task(prefix, state, id, due)
  redis.call('ZADD', prefix .. state, math.ceil(tonumber(due)), id)
  if due:find('.', 1, true) then redis.call('ZADD', prefix .. 'asynqio:soon', due, id) end
end
