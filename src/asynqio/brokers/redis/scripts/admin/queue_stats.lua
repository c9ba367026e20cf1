-- Read the statistics of one queue; changes nothing.
--
-- KEYS  1 pending · 2 active · 3 scheduled · 4 retry · 5 archived · 6 completed · 7 paused · 8 processed today
--       9 failed today · 10 processed · 11 failed · 12 groups · 13 aggregation_sets · 14 counts
-- ARGV  1 queue prefix · 2 most groups, and most batches, whose members are counted · 3 most pending tasks read to find
--       the one that has waited longest
-- Returns the lengths of 1 to 6, whether 7 exists, 8 to 11, members of groups, groups, evicted, quarantined, whether the
-- members are an estimate, the earliest scores of 3 and 4 (false: empty), and the pending_since (nanoseconds) of the
-- first pending tasks, up to the first that has waited for less time than the one before it.
-- Cost  O(ARGV[2]); O(ARGV[3]) only if that many tasks were handed back to the front of the queue
local prefix, most, front = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])

-- A key of the wrong type counts as empty: the other numbers are still useful.
local function try_call(...)
  local answer = redis.pcall(...)
  if type(answer) == 'table' and answer.err then return 0 end
  return answer or 0
end

local answer = {try_call('LLEN', KEYS[1]), try_call('LLEN', KEYS[2])}
for at = 3, 6 do answer[at] = try_call('ZCARD', KEYS[at]) end
answer[7] = try_call('EXISTS', KEYS[7])
for at = 8, 11 do answer[at] = tonumber(try_call('GET', KEYS[at])) or 0 end
local function names(...)
  local found = try_call(...)
  return type(found) == 'table' and found or {}
end

-- Members of a sample of the sorted sets, projected to `all` of them; exact for up to `most`.
local function projected(some, all)
  local members, filled = 0, 0
  for _, key in ipairs(some) do
    local size = try_call('ZCARD', key)
    members = members + size
    if size > 0 then filled = filled + 1 end
  end
  if all <= #some or #some == 0 then return members, filled end
  return math.floor(members * all / #some + 0.5), all
end

local all, batches = try_call('SCARD', KEYS[12]), try_call('ZCARD', KEYS[13])
local some = all <= most and names('SMEMBERS', KEYS[12]) or names('SRANDMEMBER', KEYS[12], most)
for at, group in ipairs(some) do some[at] = prefix .. 'g:' .. group end
local waiting, groups = projected(some, all)
local claimed = projected(names('ZRANGE', KEYS[13], 0, most - 1), batches)
answer[12], answer[13] = waiting + claimed, groups
answer[14] = tonumber(try_call('HGET', KEYS[14], 'evicted')) or 0
answer[15] = tonumber(try_call('HGET', KEYS[14], 'quarantined')) or 0
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
