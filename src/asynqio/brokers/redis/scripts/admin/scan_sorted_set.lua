-- Read members of a sorted set in order of score and id, starting behind a cursor. For a group, members of its claimed
-- batches are included: they keep their scores, so a claim does not change the order.
--
-- KEYS  1 the set · 2 aggregation_sets
-- ARGV  1 '1': descending · 2 how many are wanted · 3 and 4 cursor: score and id; '' and '': the beginning
--       5 key prefix of the group's batches, or ''
-- Returns id and score alternately.
-- Cost  O(log n · log n + wanted), times the batches of the group
local backwards, wanted, score, id = ARGV[1] == '1', tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[4]
local range = backwards and 'ZREVRANGE' or 'ZRANGE'

-- Compare bytes, as Redis does; Lua's own comparison depends on the locale.
local function less(one, two)
  for at = 1, math.min(#one, #two) do
    local first, second = one:byte(at), two:byte(at)
    if first ~= second then return first < second end
  end
  return #one < #two
end

local function before(score1, id1, score2, id2)
  if backwards then score1, id1, score2, id2 = score2, id2, score1, id1 end
  if score1 ~= score2 then return score1 < score2 end
  return less(id1, id2)
end

-- The rank of the first member behind the cursor.
local function first(key)
  local low, high = 0, score and redis.call('ZCARD', key) or 0
  while low < high do
    local middle = math.floor((low + high) / 2)
    local member = redis.call(range, key, middle, middle, 'WITHSCORES')
    if before(score, id, tonumber(member[2]), member[1]) then high = middle else low = middle + 1 end
  end
  return low
end

local function members(key)
  local from = first(key)
  return redis.call(range, key, from, from + wanted - 1, 'WITHSCORES')
end

if ARGV[5] == '' then return members(KEYS[1]) end
local keys = {KEYS[1]}
for _, batch in ipairs(redis.call('ZRANGE', KEYS[2], 0, -1)) do
  if batch:sub(1, #ARGV[5]) == ARGV[5] and not batch:find(':', #ARGV[5] + 1, true) then keys[#keys + 1] = batch end
end
local all = {}
for _, key in ipairs(keys) do
  local some = members(key)
  for at = 1, #some, 2 do all[#all + 1] = {some[at], some[at + 1], tonumber(some[at + 1])} end
end
table.sort(all, function(one, two) return before(one[3], one[1], two[3], two[1]) end)
local answer = {}
for at = 1, math.min(#all, wanted) do
  answer[2 * at - 1], answer[2 * at] = all[at][1], all[at][2]
end
return answer
