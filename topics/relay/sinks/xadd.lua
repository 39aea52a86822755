-- Appends entries to streams in order, for the one relay that may write now.
-- KEYS: who may write, then the streams. ARGV: our token, the length to trim to, of each stream the
-- last id that it ever had, then for each entry: the stream's number in KEYS, the entry's id, how many
-- names and values follow, and they. A stream that ended elsewhere is another one of that name.
-- Stops at the first that is refused, with the reason; those before it are there.
local writer = redis.call('GET', KEYS[1])
if not writer then
    return redis.error_reply('FORGOTTEN the server lost its data')
elseif writer ~= ARGV[1] then
    return redis.error_reply('FENCED another relay writes')
end
for number = 2, #KEYS do
    local said = redis.pcall('XINFO', 'STREAM', KEYS[number])
    if said.err then
        return redis.error_reply('FORGOTTEN a stream is gone')
    end
    for place = 1, #said, 2 do
        if said[place] == 'last-generated-id' and said[place + 1] ~= ARGV[number + 1] then
            return redis.error_reply('FORGOTTEN a stream was made anew, or another writes to it')
        end
    end
end
local at = #KEYS + 2
while at <= #ARGV do
    local fields = tonumber(ARGV[at + 2])
    local reply = redis.pcall(
        'XADD', KEYS[tonumber(ARGV[at])], 'NOMKSTREAM', 'MAXLEN', '~', ARGV[2], ARGV[at + 1],
        unpack(ARGV, at + 3, at + 2 + fields)
    )
    if not reply then
        return redis.error_reply('FORGOTTEN a stream is gone')
    elseif type(reply) == 'table' and reply.err then
        return reply
    end
    at = at + 3 + fields
end
return redis.status_reply('OK')
