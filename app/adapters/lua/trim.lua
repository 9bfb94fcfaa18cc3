-- Shorten a log from its begin: what SQL does not hold stays, and so do the newest entries (ARCHITECTURE decision 6).
--
-- KEYS[1]  paddock:run:{runId}:events   stream: read from its end, trimmed
-- ARGV     last seq in SQL, how many of the newest entries stay
local top = newest(KEYS[1])
if not top then return 0 end
local unsaved = math.max(0, top.last - tonumber(ARGV[1]))
return redis.call('XTRIM', KEYS[1], 'MAXLEN', '~', string.format('%.0f', unsaved + tonumber(ARGV[2])))
