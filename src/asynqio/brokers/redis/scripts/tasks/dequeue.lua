-- Lease the oldest pending tasks of queues, in the order of the queues (corrects B7).
--
-- KEYS  per queue: 1 pending · 2 paused · 3 active · 4 lease
-- ARGV  1 limit · 2 lease expiry, seconds · 3 token · 4… task prefix per queue · optional last: "timed"
-- Returns the messages; {msg, counters} for a task with failure counters; with "timed", {msg, counters, pending_since}
-- for each. Ids without a message are deleted and counted, so that they do not come back.
-- Failure counters that end with `started` mean that the task frees its lock now (B6).
-- Cost  O(tasks leased + queues). include: lib/unique_lock
local call, try = redis.call, redis.pcall
local limit, expires, token = tonumber(ARGV[1]), ARGV[2], ARGV[3]
local timed = ARGV[4 + #KEYS / 4]
local taken = {}
-- Fail on a key of the wrong type before anything is written.
for at = 1, #KEYS, 4 do
  call('LLEN', KEYS[at])
  call('LLEN', KEYS[at + 2])
  call('ZCARD', KEYS[at + 3])
end
for queue = 0, #KEYS / 4 - 1 do
  local pending, paused, active, lease = unpack(KEYS, queue * 4 + 1, queue * 4 + 4)
  local prefix = ARGV[4 + queue]
  local wanted = limit - #taken
  if wanted <= 0 then break end
  local ids = call('EXISTS', paused) == 0 and call('LRANGE', pending, -wanted, -1) or {}
  while #ids > 0 do
    call('LTRIM', pending, 0, -#ids - 1)
    local started, leases, ghosts = {}, {}, 0
    for at = #ids, 1, -1 do
      local id = ids[at]
      local key = prefix .. id
      local task = timed and try('HMGET', key, 'msg', 'asynqio:strikes', 'pending_since')
        or try('HMGET', key, 'msg', 'asynqio:strikes')
      if task[1] then
        call('HSET', key, 'state', 'active', 'asynqio:lease', token)
        call('HDEL', key, 'pending_since')
        started[#started + 1] = id
        leases[#leases + 1] = expires
        leases[#leases + 1] = id
        local counters = task[2]
        taken[#taken + 1] = (timed or counters) and task or task[1]
        if counters and counters:sub(-8) == ',started' then unlock(call('HGET', key, 'unique_key'), id) end
      else
        if not task.err then call('DEL', key) end
        ghosts = ghosts + 1
      end
    end
    if #started > 0 then
      call('LPUSH', active, unpack(started))
      call('ZADD', lease, unpack(leases))
    end
    if ghosts == 0 then break end
    call('HINCRBY', prefix:sub(1, -3) .. 'asynqio:counts', 'quarantined', ghosts)
    wanted = limit - #taken
    ids = wanted > 0 and call('LRANGE', pending, -wanted, -1) or {}
  end
end
return taken
