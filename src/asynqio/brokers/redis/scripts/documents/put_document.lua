-- Store or delete a document of a collection.
--
-- KEYS  1 slot of the call (ours) · 2 collection
-- ARGV  1 number of the call (see lib_enqueue/call_once.lua) · 2 field of the document · 3 1 to store, 0 to delete
--       4 data · 5 known revision, or ''
-- Returns the revision afterwards, or -1 if the collection has another one than the known one.
-- Cost  O(1). include: lib_enqueue/call_once lib/write_when_full
local reply, known = reply_of(KEYS[1], ARGV[1])
if reply then return reply end
local revision = tonumber(redis.call('HGET', KEYS[2], 'revision') or '0')
if ARGV[5] ~= '' and revision ~= tonumber(ARGV[5]) then return -1 end
if ARGV[3] == '1' then
  redis.call('HSET', KEYS[2], ARGV[2], ARGV[4])
else
  if redis.call('HEXISTS', KEYS[2], ARGV[2]) == 0 then return revision end
  write_when_full(KEYS[2])
  redis.call('HDEL', KEYS[2], ARGV[2])
end
return remember(KEYS[1], ARGV[1], redis.call('HINCRBY', KEYS[2], 'revision', 1), known)
