-- What a recovery needs of a page of a stream, newest first: one fifteenth of what the entries hold.
-- KEYS: the stream. ARGV: the id to read back from, and how many entries.
-- Returns entry id, event id and time of recording, one entry after the other.
local page = {}
for _, entry in ipairs(redis.call('XREVRANGE', KEYS[1], ARGV[1], '-', 'COUNT', ARGV[2])) do
    local id, recorded = '', '0'
    local fields = entry[2]
    for at = 1, #fields, 2 do
        if fields[at] == 'ce_id' then
            id = fields[at + 1]
        elseif fields[at] == 'timestamp' then
            recorded = fields[at + 1]
        end
    end
    page[#page + 1] = entry[1]
    page[#page + 1] = id
    page[#page + 1] = recorded
end
return page
