-- Keep results, progress and logs with tasks of one queue whose lease is still held (spec 3.9, but fenced).
--
-- KEYS  1… one task hash per note
-- ARGV  per note: token, witness, the fields '=' and result or '', '=' and progress or '',
--       what is known of the attempt or ''
-- Returns one character per note: 1 kept, 0 the lease was lost.
-- Cost  O(notes). include: lib_fields lib_held
local answers = {}
for item = 1, #KEYS do
  local key, at = KEYS[item], 3 * item - 2
  local mine = held(key, ARGV[at], ARGV[at + 1])
  if mine then
    local result, progress, live = unpack(fields(ARGV[at + 2]))
    if result ~= '' then redis.call('HSET', key, 'result', result:sub(2)) end
    if progress ~= '' then redis.call('HSET', key, 'asynqio:progress', progress:sub(2)) end
    if live ~= '' then redis.call('HSET', key, 'asynqio:live', live) end
  end
  answers[item] = mine and '1' or '0'
end
return table.concat(answers)
