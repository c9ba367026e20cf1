-- The steps of a transfer in the target queue. Each may be repeated at any time; operations/transfer.py has their order.
--
-- KEYS  1 moving · 2 archived · 3 groups · 4 known groups (ours) · 5… one task hash per id
-- ARGV  1 step · 2 queue prefix · 3 now, seconds · 4 now, nanoseconds · 5 name of the source queue
--       6 archive limit · 7 archive cutoff, seconds · then per id: id, fields
--       inspect  would the task be accepted? Changes nothing. Fields: lock or ''
--       prepare  store a copy that no server acts on. Fields: transfer id, lock or '', its milliseconds, state, score,
--                then field, value…
--       commit   make the copy a task of this queue. Fields: transfer id
--       discard  delete the copy. Fields: transfer id
--       find     is there a copy? No fields
-- Returns per id '1' done, '0' the id exists (commit, discard, find: no copy of this transfer), '2' the lock is held, or
-- '3' and the transfer id of a copy from the same queue that belongs to another transfer.
-- Cost  O(ids · log n). include: lib/trim_archive lib_groups/group_index lib/transfer_state lib/write_when_full
local step, prefix, exact, other = ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[5]
local now = math.floor(exact)
local answers, fresh = {}, {}

local function prepare(key, id, given)
  local transfer_id, lock, ttl, state, score = unpack(given, 1, 5)
  redis.call('HSET', key, unpack(given, 6))
  redis.call('HSET', key, 'state', 'moving', 'asynqio:moving', pack_fields('in', other, state, score, transfer_id))
  redis.call('ZADD', KEYS[1], now, id)
  if lock ~= '' then
    redis.call('HSET', key, 'unique_key', lock)
    redis.call('SET', lock, id, 'PX', ttl)
  end
end

local function commit(key, id, copy)
  end_transfer(prefix, key, id, copy[3], copy[4], KEYS[1], copy[3] == 'pending' and ARGV[4] or nil, false)
  if copy[3] == 'archived' then fresh[#fresh + 1] = id end
  local group = redis.call('HGET', key, 'group')
  if group and group ~= '' then
    local due = copy[3] == 'scheduled' or copy[3] == 'retry'
    group_joined(prefix, group, due and tonumber(copy[4]) or now)
  end
end

local function discard(key, id)
  release_lock(prefix, key, id)
  redis.call('DEL', key)
  redis.call('ZREM', KEYS[1], id)
end

if step == 'prepare' or step == 'commit' then write_when_full(KEYS[1]) end
for at = 1, #KEYS - 4 do
  local key, id, given = KEYS[at + 4], ARGV[2 * at + 6], fields(ARGV[2 * at + 7])
  local copy = read_transfer(key)
  if copy and (copy[1] ~= 'in' or copy[2] ~= other) then copy = nil end
  local answer = '1'
  if step == 'commit' or step == 'discard' then
    if not copy or copy[5] ~= given[1] then
      answer = '0'
    elseif step == 'commit' then
      commit(key, id, copy)
    else
      discard(key, id)
    end
  elseif step == 'find' then
    answer = copy and '3' .. copy[5] or '0'
  elseif step == 'prepare' and copy then
    if copy[5] ~= given[1] then answer = '3' .. copy[5] end
  elseif not copy and redis.call('EXISTS', key) == 1 then
    local state = redis.pcall('HGET', key, 'state')
    if not outlived(prefix, id, state, exact, ARGV[7]) then
      answer = '0'
    elseif step == 'prepare' then
      release_lock(prefix, key, id)
      redis.call('ZREM', prefix .. state, id)
      redis.call('DEL', key)
    end
  end
  if (step == 'inspect' or step == 'prepare') and not copy then
    local lock = step == 'inspect' and given[1] or given[2]
    if lock ~= '' and read_lock(lock, prefix, exact, ARGV[7]) then
      answer = '2'
    elseif answer == '1' and step == 'prepare' then
      prepare(key, id, given)
    end
  end
  answers[at] = answer
end
if #fresh > 0 then trim_archive(prefix, KEYS[2], tonumber(ARGV[6]), ARGV[7], #fresh + 100, fresh) end
return answers
