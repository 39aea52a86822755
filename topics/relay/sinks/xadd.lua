-- Appends entries to streams in order, for the one relay that may write now.
-- KEYS: who may write, then the streams. ARGV: our token, the length to trim to, then for each
-- entry: the stream's number in KEYS, the entry's id, how many names and values follow, and they.
-- Returns the numbers of the entries whose ids the stream was already past; stops at anything else.
local writer = redis.call('GET', KEYS[1])
if not writer then
    return redis.error_reply('FORGOTTEN the server lost its data')
elseif writer ~= ARGV[1] then
    return redis.error_reply('FENCED another relay writes')
end
local refused = {}
local entry, at = 0, 3
while at <= #ARGV do
    entry = entry + 1
    local fields = tonumber(ARGV[at + 2])
    local reply = redis.pcall(
        'XADD', KEYS[tonumber(ARGV[at])], 'NOMKSTREAM', 'MAXLEN', '~', ARGV[2], ARGV[at + 1],
        unpack(ARGV, at + 3, at + 2 + fields)
    )
    if not reply then
        return redis.error_reply('FORGOTTEN a stream is gone')
    elseif type(reply) == 'table' and reply.err then
        if not string.find(reply.err, 'equal or smaller', 1, true) then
            return reply
        end
        refused[#refused + 1] = entry
    end
    at = at + 3 + fields
end
return refused
