-- The steps of a transfer in the queue that tasks come to. Each may be done again at any time (transfer.py has the order).
--
-- KEYS  1 moving · 2 archived · 3 groups · 4 known groups (ours) · 5… one task hash per id
-- ARGV  1 step · 2 queue prefix · 3 now, seconds · 4 now, nanoseconds · 5 name of the other queue
--       6 archive limit · 7 archive cutoff, seconds · then per id: id, the fields of what is said about it
--       look  whether it would be taken: journey, lock or ''. Changes nothing
--       park  all there is of it, but out of anybody's reach: journey, lock or '', its milliseconds, state, score, then
--             field, value…
--       live  it is here now, and nowhere else: nothing is said
-- Gives one character per id: 1 done, 0 the id is taken (live: it is not on its way), 2 the lock is held.
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

for at = 1, #KEYS - 4 do
  local key, id, said = KEYS[at + 4], ARGV[2 * at + 6], fields(ARGV[2 * at + 7])
  local trip = journey(key)
  local ours = trip and trip[1] == 'in' and trip[2] == other
  if step == 'live' then
    if ours then live(key, id, trip) end
    answers[at] = ours and '1' or '0'
  elseif ours and trip[5] == said[1] then
    answers[at] = '1'
  elseif said[2] ~= '' and locked(said[2], prefix, exact) then
    answers[at] = '2'
  elseif redis.call('EXISTS', key) == 1 then
    answers[at] = '0'
  else
    if step == 'park' then take(key, id, said) end
    answers[at] = '1'
  end
end
if #fresh > 0 then trim(prefix, KEYS[2], tonumber(ARGV[6]), ARGV[7], #fresh + 100, fresh) end
return table.concat(answers)
