-- Take in entries of one queue, in their order (spec 3.1; corrects B2, B4, B5).
--
-- KEYS  1 pending · 2… one task hash per entry
-- ARGV  1 again (1: the reply to the same call got lost) · 2 queue prefix · 3 now, seconds · 4 now, nanoseconds
--       then per entry: id, msg, spec (see lib_admit)
-- Returns one character per entry: 1 accepted, 0 id taken, 2 lock held, 3 another task was changed; if there are any of
-- these, {those characters, the ids of the changed tasks…}.
-- Cost  O(entries). include: lib_admit
local prefix, now, now_ns, again = ARGV[2], tonumber(ARGV[3]), ARGV[4], ARGV[1] == '1'
redis.call('LLEN', KEYS[1]) -- fails before anything is written if the key is not a list
local pending, answers, changed = {}, {}, {}
for entry = 1, #KEYS - 1 do
  local at = 3 * entry + 2
  local answer, holder =
    admit(prefix, KEYS[entry + 1], ARGV[at], ARGV[at + 1], ARGV[at + 2], now, now_ns, again, pending)
  answers[entry] = answer
  if holder then changed[#changed + 1] = holder end
end
if #pending > 0 then
  redis.call('LPUSH', KEYS[1], unpack(pending))
end
if #changed > 0 then return {table.concat(answers), unpack(changed)} end
return table.concat(answers)
