-- What a recovery needs of a page of a stream: one fifteenth of what the entries hold.
-- KEYS: the stream. ARGV: from which id on, and how many entries.
-- Returns the id of the last entry, then the ids of the events; nothing if there are no entries.
local entries = redis.call('XRANGE', KEYS[1], ARGV[1], '+', 'COUNT', ARGV[2])
if #entries == 0 then
    return {}
end
local page = {entries[#entries][1]}
for _, entry in ipairs(entries) do
    local fields = entry[2]
    for at = 1, #fields, 2 do
        if fields[at] == 'ce_id' then
            page[#page + 1] = fields[at + 1]
        end
    end
end
return page
