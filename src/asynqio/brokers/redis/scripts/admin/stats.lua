-- The figures of one queue (spec 3.13).
--
-- KEYS  1 pending · 2 active · 3 scheduled · 4 retry · 5 archived · 6 completed · 7 paused · 8 processed today
--       9 failed today · 10 processed · 11 failed · 12 groups · 13 aggregation_sets · 14 counts
-- ARGV  1 queue prefix · 2 most groups, and most batches, whose members are added up · 3 most tasks looked at for the
--       one that waits longest
-- Returns the lengths of 1 to 6, whether 7 exists, 8 to 11, members of groups, groups, evicted, quarantined, whether the
-- members are an estimate, the earliest scores of 3 and 4 (false: empty), and since when the tasks at the front of the
-- line wait, up to the first that waits for a shorter time than the one before it (nanoseconds).
-- Cost  O(ARGV[2]); O(ARGV[3]) only when so many were handed back to the front of the line
local prefix, most, front = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])

-- A key of the wrong type shows as empty: the other figures are still worth seeing.
local function look(...)
  local answer = redis.pcall(...)
  if type(answer) == 'table' and answer.err then return 0 end
  return answer or 0
end

local answer = {look('LLEN', KEYS[1]), look('LLEN', KEYS[2])}
for at = 3, 6 do answer[at] = look('ZCARD', KEYS[at]) end
answer[7] = look('EXISTS', KEYS[7])
for at = 8, 11 do answer[at] = tonumber(look('GET', KEYS[at])) or 0 end
local function names(...)
  local found = look(...)
  return type(found) == 'table' and found or {}
end

-- The members of some of `all` sorted sets, projected to all of them: exact if there are no more than `most`.
local function projected(some, all)
  local members, filled = 0, 0
  for _, key in ipairs(some) do
    local size = look('ZCARD', key)
    members = members + size
    if size > 0 then filled = filled + 1 end
  end
  if all <= #some or #some == 0 then return members, filled end
  return math.floor(members * all / #some + 0.5), all
end

local all, batches = look('SCARD', KEYS[12]), look('ZCARD', KEYS[13])
local some = all <= most and names('SMEMBERS', KEYS[12]) or names('SRANDMEMBER', KEYS[12], most)
for at, group in ipairs(some) do some[at] = prefix .. 'g:' .. group end
local waiting, groups = projected(some, all)
local claimed = projected(names('ZRANGE', KEYS[13], 0, most - 1), batches)
answer[12], answer[13] = waiting + claimed, groups
answer[14] = tonumber(look('HGET', KEYS[14], 'evicted')) or 0
answer[15] = tonumber(look('HGET', KEYS[14], 'quarantined')) or 0
answer[16] = (all > most or batches > most) and 1 or 0
for at = 3, 4 do answer[14 + at] = names('ZRANGE', KEYS[at], 0, 0, 'WITHSCORES')[2] or false end

local before, seen = nil, 0
while seen < front do
  local ids = names('LRANGE', KEYS[1], -seen - 10, -seen - 1)
  for at = #ids, 1, -1 do
    local since = redis.pcall('HGET', prefix .. 't:' .. ids[at], 'pending_since')
    if type(since) == 'string' and tonumber(since) then
      answer[#answer + 1] = since
      if before and tonumber(since) > before then return answer end
      before = tonumber(since)
    end
  end
  if #ids < 10 then break end
  seen = seen + #ids
end
return answer
