-- The bytes of a reply after which a script returns what it has read; the caller sends another call for the rest.
local REPLY_BYTES = 4000000

-- The bytes of some values; false counts as nothing.
local function bytes_of(values)
  local bytes = 0
  for at = 1, #values do bytes = bytes + (values[at] and #values[at] or 0) end
  return bytes
end
