-- Some ids of a list from its old end on, behind a place of which we know what stood around it.
--
-- KEYS  1 pending or active
-- ARGV  1 the place: how many stood before it · 2 how many ids are wanted · 3 and 4 where to look for it: from, to
--       5 how many of the following stood behind it · 6… what stood behind it, nearest first, then what stood before it
-- Returns {the place now, ids …}; {-1, length of the list} if nothing of what stood around it is where we looked.
-- Cost  O(wanted + to - from), and some microseconds for the way from the nearer end
local place, wanted, from, to, behind = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])

local function found()
  if #ARGV == 5 then return place end
  if behind > 0 and redis.call('LINDEX', KEYS[1], -place - 1) == ARGV[6] then return place end
  to = math.min(to, redis.call('LLEN', KEYS[1]) - 1)
  if from > to then return nil end
  local places = {}
  for at, id in ipairs(redis.call('LRANGE', KEYS[1], -to - 1, -from - 1)) do places[id] = to - at + 1 end
  for at = 6, #ARGV do
    local now = places[ARGV[at]]
    if now then return at <= 5 + behind and now or now + 1 end
  end
end

place = found()
if not place then return {-1, redis.call('LLEN', KEYS[1])} end
local ids = redis.call('LRANGE', KEYS[1], -place - wanted, -place - 1)
local answer = {place}
for at = #ids, 1, -1 do answer[#answer + 1] = ids[at] end
return answer
