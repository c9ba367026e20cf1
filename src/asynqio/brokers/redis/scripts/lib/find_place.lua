-- Find whether a task is in any list, set, group or batch of its queue.
local LISTS = {'active', 'pending'}
local SETS = {'scheduled', 'retry', 'archived', 'completed', 'asynqio:moving'}

local function in_groups(prefix, id, group)
  if not group then return false end
  if redis.call('ZSCORE', prefix .. 'g:' .. group, id) then return true end
  for _, batch in ipairs(redis.call('ZRANGE', prefix .. 'aggregation_sets', 0, -1)) do
    if redis.call('ZSCORE', batch, id) then return true end
  end
  return false
end

local function has_place(prefix, id, group)
  for _, set in ipairs(SETS) do
    if redis.call('ZSCORE', prefix .. set, id) then return true end
  end
  if in_groups(prefix, id, group) then return true end
  for _, list in ipairs(LISTS) do
    if redis.call('LPOS', prefix .. list, id) then return true end
  end
  return false
end
