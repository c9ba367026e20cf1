-- Whether a member is a whole message as Go before 0.18 stores it (JSON, in the order of its struct) instead of an id.
local function is_old_message(member) return member:sub(1, 9) == '{"Type":"' end
