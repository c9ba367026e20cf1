-- Fencing (B27): a lease is still held if the task carries its token and the message that was leased. Every recovery by
-- Go rewrites the message; every step of ours removes the token. `fence` is the end of the message, from behind the
-- payload on, where recovery writes.
-- Returns whether the lease is held, and how many attempts are recorded, which costs no extra read.
local try = redis.pcall
local function lease_held(key, token, fence)
  local task = try('HMGET', key, 'state', 'asynqio:lease', 'msg', 'asynqio:runs')
  return task[1] == 'active' and (task[2] or '') == token and task[3] ~= false
    and task[3]:sub(-#fence) == fence, task[4]
end
