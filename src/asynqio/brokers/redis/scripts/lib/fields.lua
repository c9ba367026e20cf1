-- Unpack several values from one argument: each is a length (4 bytes, big-endian) and its bytes. layout/packing.py packs.
local function fields(packed)
  local found, at = {}, 1
  while at <= #packed do
    found[#found + 1], at = struct.unpack('>I4c0', packed, at)
  end
  return found
end
