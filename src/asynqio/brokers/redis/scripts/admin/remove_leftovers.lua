-- Delete keys of a removed queue, found by a scan, unless the queue is in use again and refers to them: tasks in no
-- list or set, locks without a holder, daily counters, keys of other versions.
--
-- KEYS  1 pending · 2 groups · 3 aggregation_sets · 4 throttle locks (ours) · 5… the keys found
-- ARGV  1 queue prefix · 2 longest list of pending tasks to search · 3… names of keys that are in use if they exist
-- Returns {tasks deleted, groups and batches with members that were not listed, and are listed now}.
-- Cost  O(keys · (log n + pending)). include: lib/find_place lib/unique_lock
local prefix, removed, found = ARGV[1], 0, 0
local in_use = {}
for at = 3, #ARGV do in_use[ARGV[at]] = true end
local searchable = redis.call('LLEN', KEYS[1]) <= tonumber(ARGV[2])

local function remove_task(key, id)
  if not searchable then return end
  local group = redis.pcall('HGET', key, 'group')
  if has_place(prefix, id, type(group) == 'string' and group) then return end
  release_lock(prefix, key, id)
  removed = removed + redis.call('DEL', key)
end

local function remove_lock(key)
  local holder = redis.pcall('GET', key)
  if type(holder) == 'string' then
    if redis.call('EXISTS', prefix .. 't:' .. holder) == 1 then return end
    if redis.call('ZSCORE', KEYS[4], holder .. '\n' .. key) then return end
  end
  redis.call('DEL', key)
end

local function list_group(key, name)
  local first = redis.pcall('ZRANGE', key, 0, 0)
  if first.err then
    redis.call('DEL', key)
  elseif first[1] and redis.call('SISMEMBER', KEYS[2], name) == 0 and not redis.call('ZSCORE', KEYS[3], key) then
    local group = redis.pcall('HGET', prefix .. 't:' .. first[1], 'group')
    if type(group) ~= 'string' or group == name then
      redis.call('SADD', KEYS[2], name)
    else
      redis.call('ZADD', KEYS[3], 0, key) -- a batch, released by the next sweep
    end
    found = found + 1
  end
end

-- The index of groups for rules that a server uses.
local function indexed(key)
  local rules = key:sub(#prefix + 1):match('^asynqio:due:(.*)$')
  return rules and redis.call('HEXISTS', prefix .. 'asynqio:group_rules', rules) == 1
end

for at = 5, #KEYS do
  local key = KEYS[at]
  local kind, name = key:sub(#prefix + 1):match('^(%a+):(.*)$')
  if kind == 't' then
    remove_task(key, name)
  elseif kind == 'unique' then
    remove_lock(key)
  elseif kind == 'g' then
    list_group(key, name)
  elseif not in_use[key] and not indexed(key) then
    redis.call('DEL', key)
  end
end
return {removed, found}
