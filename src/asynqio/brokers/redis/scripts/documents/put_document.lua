-- Store or delete a document of a collection.
--
-- KEYS  1 collection
-- ARGV  1 field of the document · 2 1 to store, 0 to delete · 3 data · 4 known revision, or ''
-- Returns the revision afterwards, or -1 if the collection has another one than the known one. A call that is sent
-- again because its reply was lost finds its own write, and returns the revision of that.
-- Cost  O(1). include: lib/write_when_full
local revision = tonumber(redis.call('HGET', KEYS[1], 'revision') or '0')
local stored = redis.call('HGET', KEYS[1], ARGV[1])
local wanted = ARGV[2] == '1' and ARGV[3]
if ARGV[4] ~= '' and revision ~= tonumber(ARGV[4]) then
  if revision == tonumber(ARGV[4]) + 1 and stored == wanted then return revision end
  return -1
end
if wanted then
  redis.call('HSET', KEYS[1], ARGV[1], wanted)
else
  if not stored then return revision end
  write_when_full(KEYS[1])
  redis.call('HDEL', KEYS[1], ARGV[1])
end
return redis.call('HINCRBY', KEYS[1], 'revision', 1)
