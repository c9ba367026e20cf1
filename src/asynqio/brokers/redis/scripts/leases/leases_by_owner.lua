-- Find the active tasks of one queue whose token names one server: `<owner>/<number>@<time>`.
--
-- KEYS  1 active
-- ARGV  1 owner · 2 task prefix · 3 first and 4 last index in `active`
-- Returns {token, msg or false …}.
-- Cost  O(last - first)
local owner, found = ARGV[1] .. '/', {}
for _, id in ipairs(redis.call('LRANGE', KEYS[1], ARGV[3], ARGV[4])) do
  local task = redis.pcall('HMGET', ARGV[2] .. id, 'asynqio:lease', 'msg')
  local token = task[1]
  if token and token:sub(1, #owner) == owner and not token:find('/', #owner + 1, true) then
    found[#found + 1] = token
    found[#found + 1] = task[2]
  end
end
return found
