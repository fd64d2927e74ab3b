-- Decides on, settles or resets all counters of one call. A decision writes nothing unless all enforced
-- limits allow the request.
--
-- ARGV[1] is the mode:
--   d  decide
--   l  decide without taking permits
--   s  settle in order, as a key may occur twice
--   r  reset the keys
--   p  probe: use all commands on a key, and leave nothing
-- The modes d, l and s have eleven further arguments for each key:
--   kind: r (rate), or d, w, m (quota of a day, week, month)
--   a rate's interval in microseconds; the number of a quota's first window, or -1
--   burst, or limit
--   a rate's longest debt in microseconds, or the offset of a quota's first window
--   cost, or permits to settle
--   enforced: 1 or 0
--   the window that is settled
--   permits to take ahead, as many as are available
--   the replica's own count here: microseconds of a rate, permits of a quota
--   the window of that count, or 0
--   the last reset before that count, or 0
--
-- A quota's debt is at most the next window's limit.
--
-- The state of a rate is its theoretical arrival time in microseconds since 2026. A double holds it to
-- some hundredths for decades. The state of a quota is `window:used`. `=` and the time of the last reset
-- may follow. It is kept as long as replicas keep counts from before it. An invalid state counts as
-- nothing. So does a lost state, but for the replica's own count.

local EPOCH = 1767225600
local time = redis.call('TIME')
local seconds = tonumber(time[1])
local now = (seconds - EPOCH) * 1000000 + tonumber(time[2])

local function first_day(month)
  -- Howard Hinnant's days_from_civil, of the first of a month since January 1970.
  month = month + 23638
  local year = math.floor(month / 12)
  local in_year = month - year * 12
  local era = math.floor(year / 400)
  year = year - era * 400
  return era * 146097 + year * 365 + math.floor(year / 4) - math.floor(year / 100)
    + math.floor((153 * in_year + 2) / 5) - 719468
end

local function window_of(kind, day)
  if kind == 'd' then return day end
  if kind == 'w' then return math.floor((day + 3) / 7) end
  -- The estimate may be one month too early.
  local month = math.floor(day / 30.436875) - 1
  while first_day(month + 1) <= day do month = month + 1 end
  return month
end

local function start_of(kind, window)
  if kind == 'd' then return window * 86400 end
  if kind == 'w' then return (window * 7 - 3) * 86400 end
  return first_day(window) * 86400
end

-- The longest window and a day, in seconds.
local REMEMBERED = 32 * 86400

-- Returns the state and the time of its reset.
local function read(key)
  local value = redis.pcall('GET', key)
  if type(value) ~= 'string' then return '', 0 end
  local state, reset = string.match(value, '^(.*)=(%d+)$')
  reset = tonumber(reset)
  if reset and reset < 2 ^ 52 then return state, reset end
  return value, 0
end

if ARGV[1] == 'p' then
  redis.call('GET', KEYS[1])
  redis.call('SET', KEYS[1], '1', 'PX', '1000')
  redis.call('DEL', KEYS[1])
  return { 1 }
end

local function write(key, state, live, reset)
  if reset > 0 then
    state = string.format('%s=%.0f', state, reset)
    local left = REMEMBERED - math.max(0, now - reset) / 1000000
    live = math.max(live, left * 1000)
  end
  redis.call('SET', key, state, 'PX', string.format('%.0f', live))
end

if ARGV[1] == 'r' then
  for _, key in ipairs(KEYS) do
    local _, reset = read(key)
    write(key, '', 0, math.max(reset + 1, now))
  end
  return { 1 }
end

local passes = 1
local told, states = {}, {}

for i, key in ipairs(KEYS) do
  local at = (i - 1) * 11 + 1
  local kind, first, most = ARGV[at + 1], tonumber(ARGV[at + 2]), tonumber(ARGV[at + 3])
  local offset, cost, enforced = tonumber(ARGV[at + 4]), tonumber(ARGV[at + 5]), ARGV[at + 6] == '1'
  local settled, more = tonumber(ARGV[at + 7]), tonumber(ARGV[at + 8])
  local own, own_window, own_reset =
    tonumber(ARGV[at + 9]), tonumber(ARGV[at + 10]), tonumber(ARGV[at + 11])
  local least = math.min(math.max(cost, 1), math.max(most, 1))
  local allows, remaining, wait, reset, window, extra = false, 0, 0, 0, 0, 0
  -- The replica has subtracted these permits from its own count already.
  local refund = ARGV[1] == 's' and cost < 0
  local restored = false
  local value, last_reset = read(key)
  if own_reset > last_reset then
    -- The server has lost the reset.
    value, last_reset = '', own_reset
  elseif own_reset < last_reset then
    own, own_window = 0, 0
  end

  if kind == 'r' then
    local interval = first
    local most_tat = now + most * interval + offset
    local stored = tonumber(value)
    if stored == nil or stored ~= stored then stored = now end
    if refund then stored = stored + cost * interval end
    local tat = math.min(math.max(stored, now + own, now), most_tat)
    restored = own > 0 and stored < now + own
    if ARGV[1] == 's' then
      if cost > 0 then tat = math.min(tat + cost * interval, most_tat) end
      allows = true
    else
      local earliest = tat + (least - most) * interval
      allows = most > 0 and cost <= most and earliest <= now
      if allows then
        tat = math.min(tat + cost * interval, most_tat)
        extra = math.max(0, math.min(more, math.floor((now + most * interval - tat) / interval)))
        tat = tat + extra * interval
      else
        wait = math.max(earliest - now, cost > most and interval or 0)
      end
    end
    remaining = math.max(0, math.floor(most - (tat - now) / interval + 0.000001))
    reset = tat - now
    states[i] = { string.format('%.17g', tat), math.ceil((tat - now) / 1000) + 1000, last_reset }
  else
    local function limit_in(number)
      if number == first then return math.max(0, most - offset) end
      return most
    end
    local today = window_of(kind, math.floor(seconds / 86400))
    -- A count of an older window is carried over to this one.
    local function carried(old, before)
      -- The server's clock was set back, so the window lasts longer.
      if old >= today then return old, before end
      local held = most * (today - old)
      if first >= old and first < today then held = held - (most - limit_in(first)) end
      return today, math.max(0, before - held)
    end
    local old, before = string.match(value, '^(%d+):(%d+)$')
    local used
    window, used = carried(tonumber(old) or today, tonumber(before) or 0)
    own_window, own = carried(own_window, own)
    if own_window > window then window, used = own_window, 0 end
    if own_window < window then own = 0 end
    local limit = limit_in(window)
    local ends = start_of(kind, window + 1)
    local left = (ends - EPOCH) * 1000000 - now
    if refund and settled == window then used = math.max(0, used + cost) end
    restored = used < own
    used = math.max(used, own)
    if ARGV[1] == 's' then
      if cost > 0 then used = used + cost end
      allows = true
    else
      allows = limit > 0 and used + math.max(cost, 1) <= limit
      if allows then
        used = used + cost
        extra = math.max(0, math.min(more, limit - used))
        used = used + extra
      else
        local plain = math.max(1, limit_in(window + 1))
        local after = math.max(0, used - limit)
        local needed = math.min(math.max(cost, 1), plain)
        local windows = math.min(1000, math.max(0, math.ceil((after + needed - plain) / plain)))
        wait = left + (start_of(kind, window + 1 + windows) - ends) * 1000000
      end
    end
    used = math.min(used, limit + most)
    remaining = math.max(0, limit - used)
    if used > 0 then reset = left end
    local in_debt = used > limit and start_of(kind, window + 2) - ends or 0
    local live = math.min(math.floor(left / 1000000) + in_debt, 400 * 86400) + 3600
    states[i] = { string.format('%d:%d', window, used), live * 1000, last_reset }
    most = limit
  end

  if ARGV[1] == 's' then write(key, unpack(states[i])) end
  if enforced and not allows then passes = 0 end
  told[#told + 1] = allows and 1 or 0
  told[#told + 1] = remaining
  told[#told + 1] = most
  told[#told + 1] = math.ceil(wait)
  told[#told + 1] = math.ceil(reset)
  told[#told + 1] = window
  told[#told + 1] = extra
  told[#told + 1] = last_reset
  told[#told + 1] = restored and 1 or 0
end

if passes == 1 and ARGV[1] == 'd' then
  for i, key in ipairs(KEYS) do
    local cost = tonumber(ARGV[(i - 1) * 11 + 6])
    if told[(i - 1) * 9 + 1] == 1 and cost ~= 0 then write(key, unpack(states[i])) end
  end
end

table.insert(told, 1, passes)
return told
