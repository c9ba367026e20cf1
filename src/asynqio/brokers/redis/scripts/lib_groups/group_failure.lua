-- The failed aggregations of a group in a row, in the hash asynqio:group_failures:
-- '<failures> <failed at> <retry at> <when the oldest member joined>\n<error>'.

-- Returns that text, the number of failures, when the group is tried again, when the oldest failed member joined; or nil.
local function read_failure(prefix, group)
  local failure = redis.call('HGET', prefix .. 'asynqio:group_failures', group)
  if not failure then return nil end
  local failures, retry_at, oldest_at = failure:match('^(%S+) %S+ (%S+) (%S+)\n')
  return failure, tonumber(failures), tonumber(retry_at), tonumber(oldest_at)
end

-- Delete the failures of a group that was merged, unless a member as old as the failed ones waits in it.
local function end_failures(prefix, group)
  local failure, _, _, oldest_at = read_failure(prefix, group)
  if not failure then return end
  local oldest = redis.call('ZRANGE', prefix .. 'g:' .. group, 0, 0, 'WITHSCORES')[2]
  if not oldest or tonumber(oldest) > oldest_at then
    redis.call('HDEL', prefix .. 'asynqio:group_failures', group)
  end
end
