-- Claim ticks of schedules of one queue and admit their tasks, in order, each tick once (B22).
--
-- KEYS  1 pending · 2 schedules (asynqio:cron) · 3… one task hash per tick
-- ARGV  1 resent (1: the reply to the same call was lost) · 2 queue prefix · 3 now, seconds · 4 now, nanoseconds
--       5 archive cutoff, seconds · then per tick: schedule id, tick, id, msg, options (see lib_enqueue/admit_entry.lua)
-- Returns what enqueue returns, one character per tick; also: - claimed before, p the schedule is paused.
-- Cost  O(ticks). include: lib_enqueue/admit_entry
--
-- The field `last:<schedule>` holds `<tick> <answer> <task id>` of the last claimed tick and, on a second line, the id of
-- the updated task: a resent call recognises its own claim by it. An earlier tick is recognised by its task, if that
-- still exists.
local prefix, now, now_ns, resent = ARGV[2], tonumber(ARGV[3]), ARGV[4], ARGV[1] == '1'
redis.call('LLEN', KEYS[1]) -- fails before anything is written if the key is not a list
local pending, answers, changed = {}, {}, {}
for item = 1, #KEYS - 2 do
  local at = 5 * item + 1
  local schedule, tick, id, msg, options = ARGV[at], ARGV[at + 1], ARGV[at + 2], ARGV[at + 3], ARGV[at + 4]
  local key = KEYS[item + 2]
  local known = redis.call('HMGET', KEYS[2], 'last:' .. schedule, 'held:' .. schedule)
  local last, answer, taker, holder = (known[1] or ''):match('^(%S+) (.) ([^\n]*)\n?(.*)$')
  if resent and last == tick and taker == id then
    answers[item] = answer
    if answer == '3' then changed[#changed + 1] = holder end
  elseif resent and last and tonumber(last) > tonumber(tick) and redis.call('HGET', key, 'msg') == msg then
    answers[item] = '1'
  elseif known[2] then
    answers[item] = 'p'
  elseif last and tonumber(last) >= tonumber(tick) then
    answers[item] = '-'
  else
    answer, holder = admit_entry(prefix, key, id, msg, options, now, now_ns, ARGV[5], pending)
    if holder then changed[#changed + 1] = holder end
    local taken = tick .. ' ' .. answer .. ' ' .. id .. (holder and '\n' .. holder or '')
    redis.call('HSET', KEYS[2], 'last:' .. schedule, taken)
    if redis.call('HSETNX', KEYS[2], 'met:' .. schedule, ARGV[3]) == 1 then
      redis.call('HSETNX', KEYS[2], 'since:' .. schedule, ARGV[3])
    end
    answers[item] = answer
  end
end
if #pending > 0 then
  redis.call('LPUSH', KEYS[1], unpack(pending))
end
if #changed > 0 then return {table.concat(answers), unpack(changed)} end
return table.concat(answers)
