-- Tells aggregating servers which groups changed. For each set of rules in the hash asynqio:group_rules, the sorted set
-- asynqio:due:<rules> holds the groups that it matches by the time at which to check them; 0 is now. claim_groups.lua
-- reads it. A client that does not write it (Go) is found by the pages that claim_groups reads.
local changed_groups = {}

local function group_changed(prefix, group)
  if changed_groups[prefix .. group] then return end
  changed_groups[prefix .. group] = true
  for _, rules in ipairs(redis.call('HKEYS', prefix .. 'asynqio:group_rules')) do
    redis.call('ZADD', prefix .. 'asynqio:due:' .. rules, 0, group)
  end
end

-- List a group that has a member, or gets one at the time `at`. Its name is remembered until 10 minutes later: Go's
-- forwarder adds members without listing the group (B3).
local function group_joined(prefix, group, at)
  if changed_groups[prefix .. group] == at then return end
  redis.call('SADD', prefix .. 'groups', group)
  redis.call('ZADD', prefix .. 'asynqio:groups', 'GT', at + 600, group)
  group_changed(prefix, group)
  changed_groups[prefix .. group] = at
end

-- Drop the indexes of rules that no server uses any more.
local function drop_unused_rules(prefix, now)
  local entries = redis.call('HGETALL', prefix .. 'asynqio:group_rules')
  for at = 1, #entries, 2 do
    if tonumber(entries[at + 1]:match('^%S+')) <= now then
      redis.call('UNLINK', prefix .. 'asynqio:due:' .. entries[at])
      redis.call('HDEL', prefix .. 'asynqio:group_rules', entries[at])
    end
  end
end

-- A member left a group unclaimed.
local function group_left(prefix, group)
  if redis.call('EXISTS', prefix .. 'g:' .. group) == 0 then
    redis.call('SREM', prefix .. 'groups', group)
    redis.call('HDEL', prefix .. 'asynqio:group_failures', group)
  end
  group_changed(prefix, group)
end
