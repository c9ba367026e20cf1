-- The figures of one queue (spec 3.13).
--
-- KEYS  1 pending · 2 active · 3 scheduled · 4 retry · 5 archived · 6 completed · 7 paused · 8 processed today
--       9 failed today · 10 processed · 11 failed · 12 groups · 13 aggregation_sets · 14 counts
-- ARGV  1 queue prefix
-- Gives the lengths of 1 to 6, whether 7 exists, 8 to 11, members of groups, groups, evicted, quarantined, and since
-- when the task waits that is next (nanoseconds, false: unknown).
-- Cost  O(groups + batches)
local prefix = ARGV[1]

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
local members, groups = 0, 0
local function names(...)
  local found = look(...)
  return type(found) == 'table' and found or {}
end
for _, group in ipairs(names('SMEMBERS', KEYS[12])) do
  local size = look('ZCARD', prefix .. 'g:' .. group)
  members = members + size
  if size > 0 then groups = groups + 1 end
end
for _, batch in ipairs(names('ZRANGE', KEYS[13], 0, -1)) do members = members + look('ZCARD', batch) end
answer[12], answer[13] = members, groups
answer[14] = tonumber(look('HGET', KEYS[14], 'evicted')) or 0
answer[15] = tonumber(look('HGET', KEYS[14], 'quarantined')) or 0
local next = look('LINDEX', KEYS[1], -1)
local since = type(next) == 'string' and redis.pcall('HGET', prefix .. 't:' .. next, 'pending_since')
answer[16] = type(since) == 'string' and since or false
return answer
