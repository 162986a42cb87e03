"""The script that keeps a window in Redis for all processes, in one round trip and by Redis's own clock."""

from __future__ import annotations

WINDOW_SECONDS = 60
# Up to this many units a minute each has its own microsecond. Beyond, units of the same 60 ms are one entry that counts
# as taken at the end of them: never early, at most 60 ms late. So a window is at most a thousand entries, some 13 KB,
# whatever the limit.
EXACT_UP_TO = 1000
GRAIN_SECONDS = WINDOW_SECONDS / EXACT_UP_TO

# KEYS: the window.
# ARGV: limit, window and grain in microseconds, the greatest exact limit, cost; then age and number of units that were
# given elsewhere while Redis was away.
# Answers {allowed, remaining, wait in ms}. The wait is the one until the cost is free (refused) or until
# the oldest unit comes back (allowed).
#
# The window is one list: time and number of each entry, oldest first, then their sum and what is added to the clock.
# The clock may be set back. The window's own goes on from its newest entry then, so that no unit is held for longer or
# given back early.
ROLLING_WINDOW = """
local key = KEYS[1]
local limit, window, grain = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local slot, cost = limit > tonumber(ARGV[4]) and grain or 1, tonumber(ARGV[5])
local state = redis.call('RPOP', key, 2) or {0, 0}
local ahead, used = tonumber(state[1]), tonumber(state[2])
local newest = tonumber(redis.call('LINDEX', key, -2) or 0)
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2] + ahead
if newest - grain > now then
  ahead = ahead + newest - grain - now
  now = newest - grain
end

if #ARGV > 5 then
  local entries = {}
  local known = redis.call('LRANGE', key, 0, -1)
  for i = 1, #known, 2 do entries[#entries + 1] = {tonumber(known[i]), tonumber(known[i + 1])} end
  for i = 6, #ARGV, 2 do
    local units = tonumber(ARGV[i + 1])
    entries[#entries + 1] = {now - tonumber(ARGV[i]), units}
    used = used + units
  end
  table.sort(entries, function(one, other) return one[1] < other[1] end)
  redis.call('DEL', key)
  for _, entry in ipairs(entries) do redis.call('RPUSH', key, entry[1], entry[2]) end
  newest = entries[#entries][1]
end

while used > 0 and tonumber(redis.call('LINDEX', key, 0)) + window <= now do
  used = used - tonumber(redis.call('LPOP', key, 2)[2])
end

local allowed = used + cost <= limit
if allowed then
  local stamp = math.max(newest, math.ceil(now / slot) * slot)
  if used > 0 and newest == stamp then
    redis.call('LSET', key, -1, redis.call('LINDEX', key, -1) + cost)
  else
    redis.call('RPUSH', key, stamp, cost)
  end
  used = used + cost
end

local needed, freed, index, free_at = allowed and 1 or used + cost - limit, 0, 0, now
while freed < needed do
  local entry = redis.call('LRANGE', key, index, index + 1)
  free_at, freed, index = entry[1] + window, freed + entry[2], index + 2
end
if used > 0 then
  redis.call('RPUSH', key, used, ahead)
  redis.call('PEXPIRE', key, math.ceil((window + grain) / 1000))
end
return {allowed and 1 or 0, math.max(0, limit - used), math.ceil((free_at - now) / 1000)}
"""
