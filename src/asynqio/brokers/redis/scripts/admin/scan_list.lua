-- Read ids of a list from its oldest end on, starting at a cursor that is found again by its neighbours.
--
-- KEYS  1 pending or active
-- ARGV  1 cursor: how many ids were before it · 2 how many ids are wanted · 3 first and 4 last position to search
--       5 how many of the following were behind the cursor · 6… ids behind it, nearest first, then ids before it
-- Returns {current position, ids …}; {-1, length of the list} if no neighbour is in the searched positions.
-- Cost  O(wanted + last - first), plus microseconds of traversal from the nearer end
local position, wanted = tonumber(ARGV[1]), tonumber(ARGV[2])
local from, to, behind = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])

local function found()
  if #ARGV == 5 then return position end
  if behind > 0 and redis.call('LINDEX', KEYS[1], -position - 1) == ARGV[6] then return position end
  to = math.min(to, redis.call('LLEN', KEYS[1]) - 1)
  if from > to then return nil end
  local positions = {}
  for at, id in ipairs(redis.call('LRANGE', KEYS[1], -to - 1, -from - 1)) do positions[id] = to - at + 1 end
  for at = 6, #ARGV do
    local now = positions[ARGV[at]]
    if now then return at <= 5 + behind and now or now + 1 end
  end
end

position = found()
if not position then return {-1, redis.call('LLEN', KEYS[1])} end
local ids = redis.call('LRANGE', KEYS[1], -position - wanted, -position - 1)
local answer = {position}
for at = #ids, 1, -1 do answer[#answer + 1] = ids[at] end
return answer
