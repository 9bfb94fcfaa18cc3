-- Mark the begin of a lease, so that older epochs are refused from now on (ARCHITECTURE decision 2). Idempotent per epoch.
--
-- KEYS[1]  paddock:run:{runId}:events   stream: read from its end; gets `<epoch>-0`; cut above `known`; deleted when it is
--                                       too far behind SQL to be made whole
-- ARGV     epoch, last seq in SQL, known (entries above it are a stale holder's; -1: all are good), time, how far behind
--          SQL a stream may be
-- Returns  {1, seq the stream goes on from} or {0, its last seq} when a higher epoch has it.
local key = KEYS[1]
local epoch, saved, known, reach = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[5])

local top = newest(key)
if top and top.epoch > epoch then return {0, top.last} end
while top and known >= 0 and top.last > known do
  redis.call('XDEL', key, top.id)
  top = newest(key)
end
if top and top.epoch == epoch then return {1, top.last} end

local last
if top and saved - top.last <= reach then
  last = top.last
else
  redis.call('DEL', key)
  last = math.max(0, saved - reach)
end
add(key, ARGV[1] .. '-0', 'type', 'lease', 'epoch', ARGV[1], 'last', string.format('%.0f', last), 'ts', ARGV[4])
return {1, last}
