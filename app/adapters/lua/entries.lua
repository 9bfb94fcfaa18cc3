-- What the scripts of a run's log share; it is put before each of them.
--
-- Keys: only the stream that a script hands over, `paddock:run:{runId}:events`.
-- Entries: `<epoch>-<seq>` is an event, `<epoch>-0` marks a new lease; its field `last` is the seq that the lease goes on from.

-- Return the newest entry as {id, epoch, seq, last, closed}; nil where the stream is absent or empty.
local function newest(key)
  local found = redis.call('XREVRANGE', key, '+', '-', 'COUNT', 1)[1]
  if not found then return nil end
  local epoch, seq = string.match(found[1], '^(%d+)-(%d+)$')
  local entry = {id = found[1], epoch = tonumber(epoch), seq = tonumber(seq), last = tonumber(seq)}
  for at = 1, #found[2], 2 do
    if found[2][at] == 'last' then entry.last = tonumber(found[2][at + 1]) end
    if found[2][at] == 'type' then entry.closed = found[2][at + 1] == 'run.closed' end
  end
  return entry
end

-- XADD. A stream whose tail was cut remembers the highest id it ever had and refuses lower ones: then it is written anew.
local function add(key, id, ...)
  local answer = redis.pcall('XADD', key, id, ...)
  if type(answer) ~= 'table' or not answer.err then return end
  if not string.find(answer.err, 'equal or smaller', 1, true) then error(answer.err) end
  local kept = redis.call('XRANGE', key, '-', '+')
  redis.call('DEL', key)
  for _, entry in ipairs(kept) do redis.call('XADD', key, entry[1], unpack(entry[2])) end
  redis.call('XADD', key, id, ...)
end
