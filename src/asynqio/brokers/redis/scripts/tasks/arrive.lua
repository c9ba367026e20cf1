-- The steps of a transfer in the queue that tasks come to. Each may be done again at any time (transfer.py has the order).
--
-- KEYS  1 moving · 2 archived · 3 groups · 4 known groups (ours) · 5… one task hash per id
-- ARGV  1 step · 2 queue prefix · 3 now, seconds · 4 now, nanoseconds · 5 name of the other queue
--       6 archive limit · 7 archive cutoff, seconds · then per id: id, the fields of what is said about it
--       look  whether it would be taken: lock or ''. Changes nothing
--       park  all there is of it, but out of anybody's reach: journey, lock or '', its milliseconds, state, score, then
--             field, value…
--       live  it is here now, and nowhere else: journey
--       drop  it is not to come: journey
--       find  nothing is said
-- Returns per id '1' done, '0' the id is taken (live, drop, find: it is not on this journey), '2' the lock is held, or '3'
-- and the journey of a copy that came from the same queue on another one.
-- Cost  O(ids · log n). include: lib_trim lib_moving
local step, prefix, exact, other = ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[5]
local now = math.floor(exact)
local answers, fresh = {}, {}

local function take(key, id, said)
  local trip, lock, ttl, state, score = unpack(said, 1, 5)
  redis.call('HSET', key, unpack(said, 6))
  redis.call('HSET', key, 'state', 'moving', 'asynqio:moving', packed('in', other, state, score, trip))
  redis.call('ZADD', KEYS[1], now, id)
  if lock ~= '' then
    redis.call('HSET', key, 'unique_key', lock)
    redis.call('SET', lock, id, 'PX', ttl)
  end
end

local function live(key, id, trip)
  arrive(prefix, key, id, trip[3], trip[4], KEYS[1], trip[3] == 'pending' and ARGV[4] or nil, false)
  if trip[3] == 'archived' then fresh[#fresh + 1] = id end
  local group = redis.call('HGET', key, 'group')
  if group and group ~= '' then
    redis.call('SADD', KEYS[3], group)
    redis.call('ZADD', KEYS[4], now, group)
  end
end

local function drop(key, id)
  release(prefix, key, id)
  redis.call('DEL', key)
  redis.call('ZREM', KEYS[1], id)
end

for at = 1, #KEYS - 4 do
  local key, id, said = KEYS[at + 4], ARGV[2 * at + 6], fields(ARGV[2 * at + 7])
  local trip = journey(key)
  if trip and (trip[1] ~= 'in' or trip[2] ~= other) then trip = nil end
  local answer = '1'
  if step == 'live' or step == 'drop' then
    if not trip or trip[5] ~= said[1] then
      answer = '0'
    elseif step == 'live' then
      live(key, id, trip)
    else
      drop(key, id)
    end
  elseif step == 'find' then
    answer = trip and '3' .. trip[5] or '0'
  elseif step == 'park' and trip then
    if trip[5] ~= said[1] then answer = '3' .. trip[5] end
  elseif not trip and redis.call('EXISTS', key) == 1 then
    answer = '0'
  end
  if (step == 'look' or step == 'park') and not trip then
    local lock = step == 'look' and said[1] or said[2]
    if lock ~= '' and locked(lock, prefix, exact) then
      answer = '2'
    elseif answer == '1' and step == 'park' then
      take(key, id, said)
    end
  end
  answers[at] = answer
end
if #fresh > 0 then trim(prefix, KEYS[2], tonumber(ARGV[6]), ARGV[7], #fresh + 100, fresh) end
return answers
