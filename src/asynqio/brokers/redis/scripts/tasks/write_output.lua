-- Store results, progress and logs of tasks of one queue whose lease is still held.
--
-- KEYS  1… one task hash per output
-- ARGV  per output: token, fence, the fields '=' and result or '', '=' and progress or '', record of the current attempt
--       or ''
-- Returns one character per output: 1 stored, 0 the lease was lost.
-- Cost  O(outputs). include: lib/fields lib/lease_held
local answers = {}
for item = 1, #KEYS do
  local key, at = KEYS[item], 3 * item - 2
  local mine = lease_held(key, ARGV[at], ARGV[at + 1])
  if mine then
    local result, progress, live = unpack(fields(ARGV[at + 2]))
    if result ~= '' then redis.call('HSET', key, 'result', result:sub(2)) end
    if progress ~= '' then redis.call('HSET', key, 'asynqio:progress', progress:sub(2)) end
    if live ~= '' then redis.call('HSET', key, 'asynqio:live', live) end
  end
  answers[item] = mine and '1' or '0'
end
return table.concat(answers)
