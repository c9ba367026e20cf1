-- Make the leases of one server last longer, in one queue, without knowing them.
--
-- KEYS  1 active · 2 lease
-- ARGV  1 expiry, seconds · 2 owner · 3 task prefix · 4 first and 5 last index in `active`
-- Gives how many there were. A token is `<owner>/<number>@<when>`.
-- Cost  O(last - first)
local owner, renewed = ARGV[2] .. '/', 0
for _, id in ipairs(redis.call('LRANGE', KEYS[1], ARGV[4], ARGV[5])) do
  local token = redis.pcall('HGET', ARGV[3] .. id, 'asynqio:lease')
  if type(token) == 'string' and token:sub(1, #owner) == owner and not token:find('/', #owner + 1, true) then
    redis.call('ZADD', KEYS[2], ARGV[1], id)
    renewed = renewed + 1
  end
end
return renewed
