-- Admit entries of one queue, in order (corrects B2, B4, B5).
--
-- KEYS  1 pending · 2… one task hash per entry
-- ARGV  1 resent (1: the reply to the same call was lost) · 2 queue prefix · 3 now, seconds · 4 now, nanoseconds
--       then per entry: id, msg, options (see lib/admit_entry.lua)
-- Returns one character per entry: 1 accepted, 0 id exists, 2 lock held, 3 another task was updated; if there are any
-- updates, {those characters, the ids of the updated tasks…}. A further character '+' means that the queue looks new: it
-- may have been removed since the caller registered it.
-- Cost  O(entries). include: lib/admit_entry
local prefix, now, now_ns, resent = ARGV[2], tonumber(ARGV[3]), ARGV[4], ARGV[1] == '1'
local new = redis.call('LLEN', KEYS[1]) == 0 -- fails before anything is written if the key is not a list
  and redis.call('EXISTS', prefix .. 'processed', prefix .. 'scheduled', prefix .. 'groups') == 0
local pending, answers, changed = {}, {}, {}
for entry = 1, #KEYS - 1 do
  local at = 3 * entry + 2
  local answer, holder =
    admit_entry(prefix, KEYS[entry + 1], ARGV[at], ARGV[at + 1], ARGV[at + 2], now, now_ns, resent, pending)
  answers[entry] = answer
  if holder then changed[#changed + 1] = holder end
end
if #pending > 0 then
  redis.call('LPUSH', KEYS[1], unpack(pending))
end
if new then answers[#answers + 1] = '+' end
if #changed > 0 then return {table.concat(answers), unpack(changed)} end
return table.concat(answers)
