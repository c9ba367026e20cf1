-- Claim ripe groups of queues for aggregation.
--
-- KEYS  per queue: 1 groups · 2 aggregation_sets · 3 flushed (ours) · 4 known groups (ours) · 5 group_rules (ours)
--       6 the index of these rules (ours, see lib_groups/group_index.lua)
-- ARGV  1-5 see lib_groups/claim_group.lua · 6 id of the rules · 7 number of rules
--       then per rule: pattern, grace, max delay, most members of a batch, 1 if that many make the group ripe
--       then per queue: its prefix
-- Returns {how many queues are done, when the next group will be ripe or false, batch…}.
-- Cost  O(groups that changed or are due, at most CHECKED + a page · log n + members claimed · log members)
-- include: lib_groups/claim_group lib_groups/group_index lib/write_when_full
local coming = false
-- A queue with up to SMALL groups is read as a whole; of a larger one, PAGE names per second, to find groups that are
-- missing in the index. At most CHECKED groups are checked before the call ends. A set of rules that no server used for
-- KEPT seconds loses its index.
local SMALL, PAGE, CHECKED, KEPT = 100, 400, 100, 60
local checks = CHECKED

-- The rule of the longest pattern that a name begins with. core/groups.py has the same in Python.
local rules, lengths, next_arg = {}, {}, 8
for _ = 1, tonumber(ARGV[7]) do
  local pattern = ARGV[next_arg]
  rules[pattern] = {
    grace = tonumber(ARGV[next_arg + 1]), delay = tonumber(ARGV[next_arg + 2]),
    most = tonumber(ARGV[next_arg + 3]), sized = ARGV[next_arg + 4] == '1',
  }
  lengths[#lengths + 1] = #pattern
  next_arg = next_arg + 5
end
table.sort(lengths, function(one, other) return one > other end)
local function rule_of(group)
  for _, length in ipairs(lengths) do
    local rule = length <= #group and rules[group:sub(1, length)]
    if rule then return rule end
  end
end

-- Claim a group as far as it is ripe, and note in the index when to check it again.
local function check(queue, group)
  checks = checks - 1
  local rule = rule_of(group)
  local at = rule and claim_group(queue, group, rule)
  if at then redis.call('ZADD', queue.due, at, group) else redis.call('ZREM', queue.due, group) end
end

local function add_all(key, option, names)
  for first = 1, #names, 1000 do
    local pairs = {}
    for at = first, math.min(first + 999, #names) do
      pairs[#pairs + 1] = 0
      pairs[#pairs + 1] = names[at]
    end
    redis.call('ZADD', key, option, unpack(pairs))
  end
end

-- Add a page of names to the index; returns the cursor of the next page. Groups in the index keep their time, unless
-- they are full.
local function read_page(queue, cursor)
  local page = redis.call('SSCAN', queue.groups, cursor, 'COUNT', PAGE)
  local listed, full = {}, {}
  for _, group in ipairs(page[2]) do
    local rule = rule_of(group)
    if rule and rule.sized and redis.call('ZCARD', queue.prefix .. 'g:' .. group) >= rule.most then
      full[#full + 1] = group
    elseif rule then
      listed[#listed + 1] = group
    end
  end
  add_all(queue.due, 'NX', listed)
  add_all(queue.due, 'CH', full)
  return page[1]
end

-- Returns whether the queue is done.
local function serve(queue)
  local entry = redis.call('HGET', queue.rules, ARGV[6])
  local kept_until, cursor, read_at, complete = (entry or ''):match('^(%S+) (%S+) (%S+) (%S+)$')
  if not kept_until or tonumber(kept_until) <= now then
    drop_unused_rules(queue.prefix, now)
    redis.call('UNLINK', queue.due)
    cursor, read_at, complete = '0', 0, '0'
  end
  local size = redis.call('SCARD', queue.groups)
  if size <= SMALL then
    for _, group in ipairs(redis.call('SMEMBERS', queue.groups)) do check(queue, group) end
    cursor, complete = '0', '1'
  elseif complete == '0' or math.abs(now - read_at) >= 1 then
    cursor = read_page(queue, cursor)
    read_at = now
    if cursor == '0' then complete = '1' end
  end
  if size > SMALL then coming = math.min(coming or math.huge, now + 1) end
  redis.call('HSET', queue.rules, ARGV[6], string.format('%.17g %s %.17g %s', now + KEPT, cursor, read_at, complete))
  -- First those that are due, so that many changes do not delay them.
  local due = redis.call('ZRANGEBYSCORE', queue.due, '(0', now, 'LIMIT', 0, CHECKED / 2)
  local changed = redis.call('ZRANGEBYSCORE', queue.due, '-inf', 0, 'LIMIT', 0, CHECKED - #due)
  for _, groups in ipairs({due, changed}) do
    for _, group in ipairs(groups) do
      if #claimed < limit then check(queue, group) end
    end
  end
  local first = tonumber(redis.call('ZRANGE', queue.due, 0, 0, 'WITHSCORES')[2])
  if first and first > now then coming = math.min(coming or math.huge, first) end
  return complete == '1' and not (first and first <= now)
end

local done, count = 0, #KEYS / 6
while done < count and checks > 0 and left > 0 and #claimed < limit do
  local groups, batches, flushed, known, group_rules, due = unpack(KEYS, 6 * done + 1, 6 * done + 6)
  write_when_full(groups)
  local queue = {
    number = done, prefix = ARGV[next_arg + done], groups = groups, batches = batches, flushed = flushed,
    known = known, rules = group_rules, due = due,
  }
  if not serve(queue) then break end
  done = done + 1
end
return {done, coming and string.format('%.17g', coming) or false, unpack(claimed)}
