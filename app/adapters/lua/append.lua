-- Append the events of whole journal records, all or none, and tell the hubs (ARCHITECTURE decisions 2 and 7).
--
-- KEYS[1]  paddock:run:{runId}:events   stream: its newest entry says what may come next; gets `<epoch>-<seq>` per event
-- KEYS[2]  paddock:run:{runId}:live     pub/sub channel: gets one message, ARGV from the second on, joined by line feeds
-- ARGV     epoch, seq of the first event, then type, ts, src, data of each
-- Returns  OK | HAVE (a retry) | GAP (entries before these are missing) | LOST (no marker of this epoch: fence again) |
--          FENCED (a higher epoch has it, or run.closed was its last event)
local key = KEYS[1]
local epoch, first = tonumber(ARGV[1]), tonumber(ARGV[2])
local count = (#ARGV - 2) / 4

local top = newest(key)
if not top then return 'LOST' end
if top.epoch > epoch then return 'FENCED' end
if top.epoch < epoch then return 'LOST' end
if first > top.last + 1 then return 'GAP' end
if first + count - 1 <= top.last then return 'HAVE' end
if top.closed then return 'FENCED' end

for index = top.last + 1 - first, count - 1 do
  local at = 3 + index * 4
  local id = ARGV[1] .. '-' .. string.format('%.0f', first + index)
  add(key, id, 'type', ARGV[at], 'ts', ARGV[at + 1], 'src', ARGV[at + 2], 'data', ARGV[at + 3])
end
redis.call('PUBLISH', KEYS[2], table.concat(ARGV, '\n', 2))
return 'OK'
