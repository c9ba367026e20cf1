-- Fencing (P2, B27). A lease is still held if the task carries its token and the message that was leased. Every
-- recovery by Go rewrites the message, every step of ours takes the token away. `witness` is the end of
-- the message, from behind the payload on: that is where recovery writes.
-- Returns that, and how many attempts were recorded: it stands beside what is read anyway.
local try = redis.pcall
local function held(key, token, witness)
  local task = try('HMGET', key, 'state', 'asynqio:lease', 'msg', 'asynqio:runs')
  return task[1] == 'active' and (task[2] or '') == token and task[3] ~= false
    and task[3]:sub(-#witness) == witness, task[4]
end
