-- Run each call once, although it may arrive twice: after a lost reply it is sent again, and by then its task may have
-- run and been deleted. `slot` is a key of the client, used by one call at a time; it holds the number of the last call
-- that ran in this slot, and the reply to it unless that was '1'. Numbers grow. call_slots.py has the other half.

-- Returns the reply to this call if it has run, else nil; and whether the slot exists.
local function reply_of(slot, number)
  local kept = redis.call('GET', slot)
  if not kept then return nil, false end
  local last, kind, reply = kept:match('^(%d+)(.?)(.*)$')
  if tonumber(last) < tonumber(number) then return nil, true end
  if last ~= number then return redis.error_reply('ERR a later call has run: this one arrived too late') end
  if kind == '*' then return cmsgpack.unpack(reply) end
  return kind == '' and '1' or reply
end

-- Remember the reply. A slot lives for 10 minutes from its first call.
local function remember(slot, number, reply, exists)
  local kept = number .. (type(reply) == 'table' and '*' .. cmsgpack.pack(reply) or ' ' .. reply)
  if exists then redis.call('SET', slot, kept, 'KEEPTTL') else redis.call('SET', slot, kept, 'EX', 600) end
  return reply
end
