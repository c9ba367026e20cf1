-- Whether a task has outlived its retention (`now`) or the age of the archive (`cutoff`): it counts as deleted, although
-- no sweep has deleted it yet.
local function outlived(prefix, id, state, now, cutoff)
  local until_ = state == 'completed' and now or state == 'archived' and cutoff
  if not until_ then return false end
  local score = redis.call('ZSCORE', prefix .. state, id)
  return score and tonumber(score) <= tonumber(until_)
end
