-- Run one command that takes little memory, at maxmemory too.
--
-- KEYS  1 the key that it writes, which has no expiry
-- ARGV  1 command · 2… its arguments behind the key
-- Returns what the command returns.
-- Cost  that of the command. include: lib/write_when_full
write_when_full(KEYS[1])
return redis.call(ARGV[1], KEYS[1], unpack(ARGV, 2))
