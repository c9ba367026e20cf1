-- Admit entries of one queue, in order (corrects B2, B4, B5).
--
-- KEYS  1 slot of the call (ours) · 2 pending · 3… one task hash per entry
-- ARGV  1 number of the call (see lib_enqueue/call_once.lua) · 2 queue prefix · 3 now, seconds · 4 now, nanoseconds
--       5 archive cutoff, seconds · then per entry: id, msg, options (see lib_enqueue/admit_entry.lua)
-- Returns one character per entry: 1 accepted, 0 id exists, 2 lock held, 3 another task was updated; if there are any
-- updates, {those characters, the ids of the updated tasks…}. A further character '+' means that the queue looks new: it
-- may have been removed since the caller registered it.
-- Cost  O(entries). include: lib_enqueue/enqueue_ordinary lib_enqueue/admit_entry lib_enqueue/call_once
local reply, known = reply_of(KEYS[1], ARGV[1])
if reply then return reply end
local prefix, now, now_ns, cutoff = ARGV[2], tonumber(ARGV[3]), ARGV[4], ARGV[5]
local new = redis.call('LLEN', KEYS[2]) == 0 -- fails before anything is written if the key is not a list
  and redis.call('EXISTS', prefix .. 'processed', prefix .. 'scheduled', prefix .. 'groups') == 0
-- One EXISTS for all ids instead of one each, unless one of them exists. An id may be given twice.
local absent, seen = redis.call('EXISTS', unpack(KEYS, 3)) == 0, {}
local pending, answers, changed = {}, {}, {}
for entry = 1, #KEYS - 2 do
  local at = 3 * entry + 3
  local id = ARGV[at]
  local answer, holder = admit_entry(
    prefix, KEYS[entry + 2], id, ARGV[at + 1], ARGV[at + 2], now, now_ns, cutoff, pending, absent and not seen[id])
  answers[entry], seen[id] = answer, true
  if holder then changed[#changed + 1] = holder end
end
if #pending > 0 then
  redis.call('LPUSH', KEYS[2], unpack(pending))
end
if new then answers[#answers + 1] = '+' end
reply = table.concat(answers)
return remember(KEYS[1], ARGV[1], #changed > 0 and {reply, unpack(changed)} or reply, known)
