-- Admit one entry. include: lib/delay_task lib/fields lib_groups/group_index lib/outlived lib/unique_lock lib_enqueue/update_holder
--
-- `options` is '' for an ordinary pending task, else the fields
-- state, score, group, lock or '', its whole seconds, its exact expiry, failure counters or '',
-- and, if any of them is set: on_duplicate or '', throttle ('1') or '', replace_finished ('1') or '', the offset of the
-- id in msg.
-- Returns '1' accepted, '2' the lock is held, '0' the id exists, '3' and an id: that task was updated. Everything is
-- checked before anything is written, so that a rejected entry leaves no lock (B4).
-- `cutoff`: what was archived at or before this time counts as deleted. `absent`: the id is known not to exist.
local function admit_entry(prefix, key, id, msg, options, now, now_ns, cutoff, pending, absent)
  local state, score, group, lock, ttl, ends, counters = 'pending', nil, '', '', nil, nil, ''
  local on_duplicate, throttle, replace_finished, id_offset
  if options ~= '' then
    state, score, group, lock, ttl, ends, counters, on_duplicate, throttle, replace_finished, id_offset =
      unpack(fields(options))
  end
  -- A finished task of the same id is replaced, if the entry says so (B6).
  local finished_state = replace_finished == '1' and redis.pcall('HGET', key, 'state')
  if finished_state ~= 'completed' and finished_state ~= 'archived' then finished_state = false end
  if lock ~= '' then
    local holder, own = read_lock(lock, prefix, now, cutoff)
    if holder then
      if not own then return '2' end
      if not (finished_state and holder == id) then
        if (on_duplicate or '') == '' then return '2' end
        local entry = {
          id = id, msg = msg, state = state, score = score, group = group, counters = counters,
          replaces = on_duplicate == 'replace', id_offset = id_offset,
        }
        if update_holder(prefix, holder, entry, now, now_ns, pending) then
          redis.call('SET', lock, holder, 'EX', ttl)
          redis.call('HSET', prefix .. 't:' .. holder, 'unique_key', lock, 'asynqio:unique', ends)
          return '3', holder
        end
      end
    end
  end
  if not absent and redis.call('EXISTS', key) == 1 then
    if not finished_state then
      finished_state = redis.pcall('HGET', key, 'state')
      if not outlived(prefix, id, finished_state, now, cutoff) then return '0' end
    end
    redis.call('ZREM', prefix .. finished_state, id)
    release_lock(prefix, key, id)
    redis.call('DEL', key)
  end
  local task = {'msg', msg, 'state', state}
  if state == 'pending' then
    task[5], task[6] = 'pending_since', now_ns
    pending[#pending + 1] = id
  end
  if lock ~= '' then
    redis.call('SET', lock, id, 'EX', ttl)
    if throttle == '1' then
      redis.call('ZADD', prefix .. 'asynqio:locks', ends, id .. '\n' .. lock)
    else
      task[#task + 1] = 'unique_key'
      task[#task + 1] = lock
      task[#task + 1] = 'asynqio:unique'
      task[#task + 1] = ends
    end
  end
  if group ~= '' then
    -- Also for a scheduled task: then both forwarders add it to its group (B2).
    task[#task + 1] = 'group'
    task[#task + 1] = group
    group_joined(prefix, group, state == 'scheduled' and tonumber(score) or now)
  end
  if counters ~= '' then
    task[#task + 1] = 'asynqio:strikes'
    task[#task + 1] = counters
  end
  redis.call('HSET', key, unpack(task))
  if state == 'scheduled' then
    delay_task(prefix, 'scheduled', id, score)
  elseif state == 'aggregating' then
    redis.call('ZADD', prefix .. 'g:' .. group, score, id)
  end
  return '1'
end
