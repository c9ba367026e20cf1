-- Find groups that have members but are not listed (B3), and claimed batches that are not listed: nothing would ever
-- aggregate or release them.
--
-- KEYS  1 groups · 2 aggregation_sets · 3… keys of groups or batches
-- ARGV  1 queue prefix · 2 fix (1: list them) · 3 score for a batch, in the past: the next sweep releases it
-- Returns one character per key: 1 listed or empty, 0 not listed.
-- Cost  O(keys · log n). include: lib_groups/group_index lib/write_when_full
if ARGV[2] == '1' then write_when_full(KEYS[1]) end
local start, answers = ARGV[1] .. 'g:', {}
for at = 3, #KEYS do
  local key = KEYS[at]
  local name = key:sub(#start + 1)
  local first = redis.pcall('ZRANGE', key, 0, 0)[1]
  if not first or redis.call('SISMEMBER', KEYS[1], name) == 1 or redis.call('ZSCORE', KEYS[2], key) then
    answers[at - 2] = '1'
  else
    answers[at - 2] = '0'
    local group = redis.call('HGET', ARGV[1] .. 't:' .. first, 'group')
    if ARGV[2] == '1' and (group == name or not group) then
      redis.call('SADD', KEYS[1], name)
      group_changed(ARGV[1], name)
    elseif ARGV[2] == '1' then
      redis.call('ZADD', KEYS[2], ARGV[3], key)
    end
  end
end
return table.concat(answers)
