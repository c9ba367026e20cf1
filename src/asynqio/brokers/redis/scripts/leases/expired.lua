-- Read the lapsed leases of queues; changes nothing.
--
-- KEYS  lease, per queue
-- ARGV  1 now, seconds · 2 offset and 3 limit per queue · 4… task prefix per queue
-- Returns per queue {next expiry in the future or false, {id, score, msg or false, token or false,
-- counters or false}…}.
-- Cost  O(queues · (log active + offset + limit))
local now, offset, limit = ARGV[1], ARGV[2], ARGV[3]
local answer = {}
for queue = 1, #KEYS do
  local lapsed = redis.call('ZRANGEBYSCORE', KEYS[queue], '-inf', now, 'WITHSCORES', 'LIMIT', offset, limit)
  local coming = redis.call('ZRANGEBYSCORE', KEYS[queue], '(' .. now, '+inf', 'WITHSCORES', 'LIMIT', 0, 1)
  local found = {coming[2] or false}
  for at = 1, #lapsed, 2 do
    local id = lapsed[at]
    local task = redis.pcall('HMGET', ARGV[3 + queue] .. id, 'msg', 'asynqio:lease', 'asynqio:strikes')
    found[#found + 1] = {id, lapsed[at + 1], task[1] or false, task[2] or false, task[3] or false}
  end
  answer[queue] = found
end
return answer
