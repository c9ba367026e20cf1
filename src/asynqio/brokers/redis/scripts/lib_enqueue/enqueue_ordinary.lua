-- Enqueue one ordinary task, the most frequent call. It comes first in enqueue.lua, because creating the functions of
-- the other parts would take a tenth of its time. With lib_enqueue/call_once.lua instead, it would take a third more.
if #KEYS == 3 and ARGV[8] == '' then
  local slot, pending, key, number = KEYS[1], KEYS[2], KEYS[3], ARGV[1]
  local kept = redis.call('SET', slot, number, 'KEEPTTL', 'GET')
  if not kept then redis.call('EXPIRE', slot, 600) end
  if (not kept or tonumber(kept:match('^%d+')) < tonumber(number)) and redis.call('EXISTS', key) == 0 then
    local length = redis.pcall('LPUSH', pending, ARGV[6])
    if type(length) == 'number' then
      redis.call('HSET', key, 'msg', ARGV[7], 'state', 'pending', 'pending_since', ARGV[4])
      local prefix = ARGV[2]
      local new = length == 1
        and redis.call('EXISTS', prefix .. 'processed', prefix .. 'scheduled', prefix .. 'groups') == 0
      return new and '1+' or '1'
    end
  end
  -- The call has run already, or the id exists, or a key is damaged: undo, and continue as for other tasks.
  redis.call('SET', slot, kept or '0', 'KEEPTTL')
end
