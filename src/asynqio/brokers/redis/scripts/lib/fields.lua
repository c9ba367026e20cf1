-- Several values in one argument: each as its length (4 bytes, big-endian) and its bytes. (pack.py writes them.)
local function fields(packed)
  local found, at = {}, 1
  while at <= #packed do
    found[#found + 1], at = struct.unpack('>I4c0', packed, at)
  end
  return found
end
