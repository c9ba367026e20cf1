-- Taking one entry in. include: lib_fields lib_lock lib_change
--
-- `spec` is '' for an ordinary pending task, else the fields
-- state, score, group, lock or '', its whole seconds, its exact end, strikes or '',
-- and, if any of them is there: on_duplicate or '', throttle ('1') or '', replace_finished ('1') or '', where in msg the
-- id stands.
-- Answers '1' accepted, '2' the lock is held, '0' the id is taken, '3' and an id: that task was changed. All is looked at
-- before anything is changed, so that a refused entry leaves no lock (B4).
-- `again`: this was sent before and the reply got lost; what is there with our very message is our own (T14).
local function admit(prefix, key, id, msg, spec, now, now_ns, again, pending)
  local state, score, group, lock, ttl, ends, strikes = 'pending', nil, '', '', nil, nil, ''
  local manner, throttle, finished, where
  if spec ~= '' then
    state, score, group, lock, ttl, ends, strikes, manner, throttle, finished, where = unpack(fields(spec))
  end
  -- A task of the same id that makes room (B6).
  local over = finished == '1' and redis.pcall('HGET', key, 'state')
  if over ~= 'completed' and over ~= 'archived' then over = false end
  if lock ~= '' then
    local holder, own = locked(lock, prefix, now)
    if holder and not (again and holder == id and redis.call('HGET', key, 'msg') == msg) then
      if not own then return '2' end
      if not (over and holder == id) then
        if (manner or '') == '' then return '2' end
        local entry = {
          id = id, msg = msg, state = state, score = score, group = group, strikes = strikes, replaces = manner == 'replace',
          where = where,
        }
        if change(prefix, holder, entry, now, now_ns, again, pending) then
          redis.call('SET', lock, holder, 'EX', ttl)
          redis.call('HSET', prefix .. 't:' .. holder, 'unique_key', lock, 'asynqio:unique', ends)
          return '3', holder
        end
      end
    end
  end
  if redis.call('EXISTS', key) == 1 then
    if again and redis.call('HGET', key, 'msg') == msg then return '1' end
    if not over then return '0' end
    redis.call('ZREM', prefix .. over, id)
    release(prefix, key, id)
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
    -- Also for a scheduled task: so both forwarders will put it into its group (B2).
    task[#task + 1] = 'group'
    task[#task + 1] = group
    redis.call('SADD', prefix .. 'groups', group)
    redis.call('ZADD', prefix .. 'asynqio:groups', now, group)
  end
  if strikes ~= '' then
    task[#task + 1] = 'asynqio:strikes'
    task[#task + 1] = strikes
  end
  redis.call('HSET', key, unpack(task))
  if state == 'scheduled' then
    redis.call('ZADD', prefix .. 'scheduled', score, id)
  elseif state == 'aggregating' then
    redis.call('ZADD', prefix .. 'g:' .. group, score, id)
  end
  return '1'
end
