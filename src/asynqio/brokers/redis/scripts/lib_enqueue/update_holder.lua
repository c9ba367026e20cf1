-- Update the task that holds an entry's lock, if it is waiting (B6). core/task/unique_locks.py has the same in Python.
-- include: lib/delay_task lib/fields lib_groups/group_index

-- The message with another id: protobuf field 3, a length-delimited string at `id_offset`.
local function with_id(msg, id_offset, id, other)
  local function field(text)
    local size = #text
    if size < 128 then return '\26' .. string.char(size) .. text end
    return '\26' .. string.char(size % 128 + 128, math.floor(size / 128)) .. text
  end
  return msg:sub(1, id_offset) .. field(other) .. msg:sub(id_offset + #field(id) + 1)
end

-- Remove a waiting task from its list or set; `pending` holds ids that this call has not pushed yet.
local function leave(prefix, id, state, group, pending)
  if state == 'pending' then
    for at = #pending, 1, -1 do
      if pending[at] == id then return table.remove(pending, at) end
    end
    redis.call('LREM', prefix .. 'pending', -1, id)
  elseif state == 'aggregating' then
    redis.call('ZREM', prefix .. 'g:' .. group, id)
    group_left(prefix, group)
  else
    redis.call('ZREM', prefix .. state, id)
  end
end

-- Returns whether the task was waiting, and so was updated.
local function update_holder(prefix, id, entry, now, now_ns, pending)
  local key = prefix .. 't:' .. id
  local task = redis.call('HMGET', key, 'state', 'group')
  local state, group = task[1], task[2] or ''
  if state == 'aggregating' then
    -- A member of a claimed batch belongs to the server that aggregates it.
    if not redis.call('ZSCORE', prefix .. 'g:' .. group, id) then return false end
  elseif state ~= 'pending' and state ~= 'scheduled' and state ~= 'retry' then
    return false
  end
  local target, joins = entry.state, group
  if entry.replaces then
    joins = entry.group
  elseif target == 'scheduled' then
    if state == 'retry' then target = 'retry' end
  else
    target = group ~= '' and 'aggregating' or 'pending'
  end
  local stays = target == state and (state == 'pending' or (state == 'aggregating' and group == joins))
  if not stays then leave(prefix, id, state, group, pending) end
  if entry.replaces then
    redis.call('HDEL', key, 'result', 'asynqio:progress', 'asynqio:strikes', 'group')
    redis.call('HSET', key, 'msg', with_id(entry.msg, tonumber(entry.id_offset), entry.id, id))
    if entry.counters ~= '' then redis.call('HSET', key, 'asynqio:strikes', entry.counters) end
    if joins ~= '' then redis.call('HSET', key, 'group', joins) end
  end
  redis.call('HSET', key, 'state', target)
  if joins ~= '' then
    group_joined(prefix, joins, target == 'aggregating' and now or tonumber(entry.score) or now)
  end
  if stays then return true end
  if target == 'pending' then
    pending[#pending + 1] = id
    redis.call('HSET', key, 'pending_since', now_ns)
    return true
  end
  redis.call('HDEL', key, 'pending_since')
  if target == 'aggregating' then
    redis.call('ZADD', prefix .. 'g:' .. joins, entry.score, id)
  else
    delay_task(prefix, target, id, entry.score)
  end
  return true
end
