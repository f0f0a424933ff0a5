/**
 * The algorithms of `LimitAlgorithm` as scripts that Redis runs: one decision is one atomic call, about one limit or several.
 *
 * Time is the server's. What a caller may wait for is taken at the time at which it may start, so that Redis itself keeps those who wait in order. State expires as soon as it
 * would behave like a fresh one.
 */
import * as RedisConnection from "./RedisConnection.ts"

/** As the scripts know them. */
export const algorithmLetters = { "token-bucket": "t", "sliding-window": "s", "fixed-window": "f", "leaky-bucket": "l" } as const

/**
 * Of a sliding window, a list of times and costs: what is noted of it (what it holds, the times of its newest and, at the latest, its oldest entry, until when it is kept; without
 * that it counts as empty), what has left it, and when a cost fits in.
 */
const sliding = `
local function life(millis) return math.max(1, math.ceil(millis)) end
local function note(l)
  if not l.last then redis.call('DEL', l.key, l.used_key) return end
  redis.call('SET', l.used_key, struct.pack('<dddd', l.used, l.last, l.first, l.kept), 'PX', life(l.kept - now))
end
local function trim(l)
  if not l.last or l.first + l.window > now then return end
  local gone, found = 0, nil
  while not found do
    local some = redis.call('LRANGE', l.key, gone, gone + 31)
    if #some == 0 then break end
    for _, entry in ipairs(some) do
      local at, cost = struct.unpack('<dd', entry)
      if at + l.window > now then found = at break end
      gone, l.used = gone + 1, l.used - cost
    end
  end
  if found then l.first = found else l.used, l.last = 0, nil end
  if found and gone > 0 then redis.call('LTRIM', l.key, gone, -1) end
  note(l)
end
local function walk(l, t)
  local start, used, from = math.max(t, l.last or 0), l.used, 0
  while used + l.cost > l.full do
    local some = redis.call('LRANGE', l.key, from, from + 31)
    if #some == 0 then break end
    for _, entry in ipairs(some) do
      local at, cost = struct.unpack('<dd', entry)
      if at + l.window > start then
        if used + l.cost <= l.full then return start end
        start = at + l.window
      end
      used = used - cost
    end
    from = from + 32
  end
  return start
end`

const common = `
local clock = redis.call('TIME')
local now = clock[1] * 1000 + clock[2] / 1000${sliding}
-- Numbers as text lose digits by default.
local function text(n)
  if n % 1 == 0 and n < 1e9 and n >= 0 then return tostring(n) end
  return string.format('%.17g', n)
end
-- Marks were added up elsewhere.
local function same(a, b) return math.abs(a - b) < 0.001 end
local function not_before(t, at) if at <= t + 0.001 then return t end return at end
local function append(l, time, cost)
  if not l.last then
    redis.call('DEL', l.key)
    l.first, l.kept = time, 0
  end
  redis.call('RPUSH', l.key, struct.pack('<dd', time, cost))
  if time + l.window > l.kept then
    l.kept = l.kept == 0 and time + l.window or time + 2 * l.window
    redis.call('PEXPIRE', l.key, life(l.kept - now))
  end
  l.used, l.last = l.used + cost, time
  note(l)
end

-- What was spent, as it counts now. Everything that Redis knew before it restarted is taken as spent at that moment.
local function read(l, lost)
  local held = lost + l.window > now
  if l.algorithm == 's' then
    local noted = redis.call('GET', l.used_key)
    l.used = 0
    if noted then l.used, l.last, l.first, l.kept = struct.unpack('<dddd', noted) end
    if held and (not l.last or l.last < lost) then
      l.used, l.last = 0, nil
      append(l, lost, l.limit)
    end
    trim(l)
  elseif l.algorithm == 'f' then
    local found = redis.call('GET', l.key)
    l.start, l.used = 0, 0
    if found then l.start, l.used = struct.unpack('<dd', found) end
    if held and l.start < lost then l.start, l.used = lost, l.limit end
  else
    local found = redis.call('GET', l.key)
    l.at = found and struct.unpack('<d', found) or 0
    if held then l.at = math.max(l.at, lost + l.window) end
  end
end

local function start_at(l, t)
  if l.algorithm == 't' then return not_before(t, l.at + l.cost * l.interval - l.window) end
  if l.algorithm == 'l' then return not_before(t, l.at) end
  if l.algorithm == 's' then return walk(l, t) end
  if l.used == 0 or t >= l.start + l.window then return t end
  if l.used + l.cost <= l.full then return math.max(t, l.start) end
  return l.start + l.window
end

-- Spends the cost; answers where it is found again, as text: writing a number is what costs most here.
local function take(l, cost, at)
  if l.algorithm == 's' then
    local time = math.max(at, l.last or 0)
    if cost > 0 then append(l, time, cost) end
    return text(time)
  end
  if l.algorithm == 'f' then
    if l.used == 0 or at >= l.start + l.window then l.start, l.used = at, cost else l.used = l.used + cost end
    redis.call('SET', l.key, struct.pack('<dd', l.start, l.used), 'PX', life(l.start + l.window - now))
    return text(l.start)
  end
  l.at = math.max(l.at, at) + cost * l.interval
  redis.call('SET', l.key, struct.pack('<d', l.at), 'PX', life(l.at - now))
  return text(l.at)
end

local function limit_at(key, arg)
  local l = { key = KEYS[key], used_key = KEYS[key + 1], waiting_key = KEYS[key + 2], algorithm = ARGV[arg],
    limit = tonumber(ARGV[arg + 1]), window = tonumber(ARGV[arg + 2]), cost = tonumber(ARGV[arg + 3]), queue = tonumber(ARGV[arg + 4]) }
  l.interval, l.full = l.window / l.limit, l.limit * (1 + 1e-9)
  return l
end

-- When Redis was lost last, as far as anybody knows: its process is another one than the one that wrote the mark. A caller who knew another one admitted calls of its own until
-- age milliseconds ago (-1: it knew none).
local function lost_at(key, run, age)
  local mark = redis.call('GET', key)
  if age < 0 and mark == run .. ' 0' then return 0 end
  local known = mark and string.match(mark, '^%S+')
  local before, lost = 0, 0
  if known == run then before = tonumber(string.match(mark, '%S+$')) lost = math.max(before, age >= 0 and now - age or 0)
  elseif mark or age >= 0 then lost = now end
  if known ~= run or lost > before then redis.call('SET', key, run .. ' ' .. text(lost)) end
  return lost
end
`

/** The beginning of a usual decision: KEYS and ARGV of `usual`, and `value`, what stands under the key that it names. */
const usually = (key: string, rest: string): RedisConnection.Script<string | null> =>
  RedisConnection.script(`
local known = redis.call('MGET', KEYS[1], ${key})
local clock = redis.call('TIME')
local now = clock[1] * 1000 + clock[2] / 1000
if known[1] ~= ARGV[1] then
  local run = string.sub(ARGV[1], 1, -2)
  if not known[1] or string.sub(known[1], 1, #run) ~= run or string.sub(known[1], #run + 1) + ARGV[2] > now then return false end
end
local value = known[2]
${rest}`)

const said = "clock[1] .. ' ' .. clock[2]"
const refused = (at: string) => `return '0 ' .. ${said} .. ' ' .. ${at} - now`

const paced = (start: string): RedisConnection.Script<string | null> =>
  usually(
    "KEYS[2]",
    `local took, at = ARGV[3] * ARGV[4], now
if value then
  value = struct.unpack('<d', value)
  at = ${start}
  if at > now + 0.001 then ${refused("at")} end
  at = value
  if at < now then at = now end
end
at = at + took
redis.call('SET', KEYS[2], struct.pack('<d', at), 'PX', ARGV[2])
return '1 ' .. ${said} .. ' ' .. at - now`
  )

/**
 * The usual decision, by algorithm: one limit, a window of whole milliseconds, by who does not wait and knows of no loss that still counts. The same as `admit` decides, without
 * what it does not need: each argument, call of Redis, closure and table costs about as much as the rest of it, so numbers are packed and few written, and state
 * expires at most a window late. KEYS: mark, state, used. ARGV: mark without a loss, window, cost (more than 0), `measureOf` the limit. Answers `1 SECONDS MICROSECONDS MARK` or
 * `0 SECONDS MICROSECONDS NOT_BEFORE`: the server's time, and milliseconds from then (none: 0); or nothing: it is for `admit` to decide, and nothing was spent.
 */
export const usual = {
  "token-bucket": paced("value + took - ARGV[2]"),
  "leaky-bucket": paced("value"),
  "fixed-window": usually(
    "KEYS[2]",
    `local start, used = 0, 0
if value then start, used = struct.unpack('<dd', value) end
if start > now then return false end
if used == 0 or start + ARGV[2] <= now then
  redis.call('SET', KEYS[2], struct.pack('<dd', now, ARGV[3]), 'PX', ARGV[2])
  return '1 ' .. ${said}
end
if used + ARGV[3] - ARGV[4] > 0 then ${refused("start + ARGV[2]")} end
redis.call('SET', KEYS[2], struct.pack('<dd', start, used + ARGV[3]), 'KEEPTTL')
return '1 ' .. ${said} .. ' ' .. start - now`
  ),
  "sliding-window": usually(
    "KEYS[3]",
    `local window, cost, full, used, last, first, kept = ARGV[2] + 0, ARGV[3] + 0, ARGV[4] + 0, 0, 0, now, 0
if value then used, last, first, kept = struct.unpack('<dddd', value) else redis.call('DEL', KEYS[2]) end
if last > now then return false end
-- Entries that have left are taken out by many at once.
if used + cost > full or first + 2 * window <= now then${sliding}
  local l = { key = KEYS[2], used_key = KEYS[3], used = used, last = last, first = first, kept = kept, window = window, cost = cost, full = full }
  trim(l)
  if l.used + cost > full then ${refused("walk(l, now)")} end
  if l.last then used, first = l.used, l.first else used, first, kept = 0, now, 0 end
end
redis.call('RPUSH', KEYS[2], struct.pack('<dd', now, cost))
if now + window <= kept then
  redis.call('SETRANGE', KEYS[3], 0, struct.pack('<ddd', used + cost, now, first))
else
  local life = kept == 0 and ARGV[2] or 2 * window
  redis.call('PEXPIRE', KEYS[2], life)
  redis.call('SET', KEYS[3], struct.pack('<dddd', used + cost, now, first, now + life), 'PX', life)
end
return '1 ' .. ${said}`
  )
} as const

/** What `usual` counts by: milliseconds that a cost of 1 takes, or the most that a window may hold. */
export const measureOf = (
  { algorithm, limit }: { readonly algorithm: keyof typeof usual; readonly limit: number },
  window: number
): number => (algorithm === "token-bucket" || algorithm === "leaky-bucket" ? window / limit : limit * (1 + 1e-9))

/**
 * Admits all or refuses all. KEYS: mark, then (state, used, waiting) a limit. ARGV: run, age (see `lost_at`), longest wait in ms (-1: none), ticket, then (algorithm, limit,
 * window, cost, queue) a limit. Answers [1, now, at, mark...] or [0, now, notBefore, number of the limit from 0, reason].
 */
export const admit = RedisConnection.script(`${common}
local longest = tonumber(ARGV[3])
local lost = lost_at(KEYS[1], ARGV[1], tonumber(ARGV[2]))
local limits = {}
for i = 1, (#KEYS - 1) / 3 do limits[i] = limit_at(3 * i - 1, 5 * i) end
local at, last = now, 0
for i, l in ipairs(limits) do
  read(l, lost)
  local start = start_at(l, now)
  if start > at then at, last = start, i end
end
if at > now then
  -- What one of them puts off may suit the others later still.
  local again = #limits > 1
  while again do
    again = false
    for i, l in ipairs(limits) do
      local start = start_at(l, at)
      if start > at then at, last, again = start, i, true end
    end
  end
  local function refuse(reason) return {0, text(now), text(at), last - 1, reason} end
  if longest < 0 then return refuse('rate') end
  for i, l in ipairs(limits) do
    redis.call('ZREMRANGEBYSCORE', l.waiting_key, '-inf', text(now))
    local late = l.algorithm == 'l' and l.at - (l.limit - l.cost) * l.interval > now + 0.001
    if late or redis.call('ZCARD', l.waiting_key) >= l.queue then last = i return refuse('queue') end
  end
  if at - now > longest then return refuse('wait') end
  for _, l in ipairs(limits) do
    redis.call('ZADD', l.waiting_key, text(at), ARGV[4])
    redis.call('PEXPIRE', l.waiting_key, life(redis.call('ZRANGE', l.waiting_key, -1, -1, 'WITHSCORES')[2] - now))
  end
end
local time = text(now)
local answer = {1, time, at == now and time or text(at)}
for i, l in ipairs(limits) do answer[i + 3] = take(l, l.cost, at) end
return answer`)

/**
 * Corrects what one admission spent. KEYS: state, used, waiting. ARGV: algorithm, limit, window, cost before, 0, new cost, mark, ticket. What is given back beneath others who
 * wait for their turn stays spent where they could otherwise start too close together.
 */
export const settle = RedisConnection.script(`${common}
local l = limit_at(1, 1)
local cost, mark = tonumber(ARGV[6]), tonumber(ARGV[7])
redis.call('ZREM', l.waiting_key, ARGV[8])
read(l, -1e300)
local part = l.cost - cost
if part < 0 then
  take(l, -part, now)
  return {0}
end
if l.algorithm == 's' then
  local entry = struct.pack('<dd', mark, l.cost)
  local index = l.last and redis.call('LPOS', l.key, entry, 'RANK', -1)
  if not index then return {0} end
  if cost > 0 then
    redis.call('LSET', l.key, index, struct.pack('<dd', mark, cost))
  else
    redis.call('LREM', l.key, -1, entry)
    local newest = redis.call('LINDEX', l.key, -1)
    l.last = newest and struct.unpack('<dd', newest) or nil
  end
  l.used = l.used - part
  note(l)
elseif l.algorithm == 'f' then
  if not same(l.start, mark) then return {0} end
  redis.call('SET', l.key, struct.pack('<dd', l.start, math.max(0, l.used - part)), 'KEEPTTL')
else
  if not same(l.at, mark) and redis.call('ZCOUNT', l.waiting_key, '(' .. text(now), '+inf') > 0 then return {0} end
  local saved = math.max(0, math.min(part * l.interval, mark - now))
  if saved == 0 or l.at == 0 then return {0} end
  redis.call('SET', l.key, struct.pack('<d', l.at - saved), 'KEEPTTL')
end
return {1}`)
