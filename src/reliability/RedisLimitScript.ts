/**
 * The algorithms of `LimitAlgorithm` as scripts that Redis runs: one decision is one atomic call, about one limit or several.
 *
 * Time is the server's. What a caller may wait for is taken at the time at which it may start, so that Redis itself keeps those who wait in order. State expires as soon as it
 * would behave like a fresh one.
 */
import * as RedisConnection from "./RedisConnection.ts"

/** As the scripts know them. */
export const algorithmLetters = { "token-bucket": "t", "sliding-window": "s", "fixed-window": "f", "leaky-bucket": "l" } as const

const common = `
local clock = redis.call('TIME')
local now = clock[1] * 1000 + clock[2] / 1000
-- Numbers as text lose digits by default.
local function text(n)
  if n % 1 == 0 and n < 1e9 and n >= 0 then return tostring(n) end
  return string.format('%.17g', n)
end
local function pair(s)
  local colon = string.find(s, ':', 1, true)
  return tonumber(string.sub(s, 1, colon - 1)), tonumber(string.sub(s, colon + 1))
end
local function not_before(t, at) if at <= t + 0.001 then return t end return at end
local function forget_after(key, millis) redis.call('PEXPIRE', key, math.max(1, math.ceil(millis))) end

-- What was spent, as it counts now. Everything that Redis knew before it restarted is taken as spent at that moment.
local function read(l, lost)
  local held = lost + l.window > now
  if l.algorithm == 's' then
    l.last = redis.call('LINDEX', l.key, -1)
    if l.last then l.last = pair(l.last) end
    if held and (not l.last or l.last < lost) then
      redis.call('DEL', l.key)
      redis.call('RPUSH', l.key, text(lost) .. ':' .. text(l.limit))
      redis.call('SET', l.used_key, text(l.limit))
      forget_after(l.key, lost + l.window - now)
      forget_after(l.used_key, lost + l.window - now)
      l.last = lost
    end
    l.used = 0
    if l.last then l.used = tonumber(redis.call('GET', l.used_key) or 0) end
    local before = l.used
    while l.last do
      local head = redis.call('LINDEX', l.key, 0)
      if not head then l.last, l.used = nil, 0 break end
      local at, cost = pair(head)
      if at + l.window > now then break end
      redis.call('LPOP', l.key)
      l.used = l.used - cost
    end
    if l.last and l.used ~= before then redis.call('SET', l.used_key, text(l.used), 'KEEPTTL') end
  elseif l.algorithm == 'f' then
    local found = redis.call('GET', l.key)
    l.start, l.used = 0, 0
    if found then l.start, l.used = pair(found) end
    if held and l.start < lost then l.start, l.used = lost, l.limit end
  else
    l.at = tonumber(redis.call('GET', l.key) or 0)
    if held then l.at = math.max(l.at, lost + l.window) end
  end
end

local function walk(l, t)
  local start, used, from = math.max(t, l.last or 0), l.used, 0
  local full = l.limit * (1 + 1e-9)
  while used + l.cost > full do
    local some = redis.call('LRANGE', l.key, from, from + 31)
    if #some == 0 then break end
    for _, entry in ipairs(some) do
      local at, cost = pair(entry)
      if at + l.window > start then
        if used + l.cost <= full then return start end
        start = at + l.window
      end
      used = used - cost
    end
    from = from + 32
  end
  return start
end

local function start_at(l, t)
  if l.algorithm == 't' then return not_before(t, l.at + l.cost * l.interval - l.window) end
  if l.algorithm == 'l' then return not_before(t, l.at) end
  if l.algorithm == 's' then return walk(l, t) end
  if l.used == 0 or t >= l.start + l.window then return t end
  if l.used + l.cost <= l.limit * (1 + 1e-9) then return math.max(t, l.start) end
  return l.start + l.window
end

-- Spends the cost; answers where it is found again, as text: writing a number is what costs most here.
local function take(l, cost, at)
  if l.algorithm == 's' then
    local time = math.max(at, l.last or 0)
    local mark = text(time)
    if cost > 0 then
      redis.call('RPUSH', l.key, mark .. ':' .. text(cost))
      l.used, l.last = l.used + cost, time
      redis.call('SET', l.used_key, text(l.used))
      forget_after(l.key, time + l.window - now)
      forget_after(l.used_key, time + l.window - now)
    end
    return mark
  end
  if l.algorithm == 'f' then
    if l.used == 0 or at >= l.start + l.window then l.start, l.used = at, cost else l.used = l.used + cost end
    local mark = text(l.start)
    redis.call('SET', l.key, mark .. ':' .. text(l.used), 'PX', math.max(1, math.ceil(l.start + l.window - now)))
    return mark
  end
  l.at = math.max(l.at, at) + cost * l.interval
  local mark = text(l.at)
  redis.call('SET', l.key, mark, 'PX', math.max(1, math.ceil(l.at - now)))
  return mark
end

local function limit_at(key, arg)
  local l = { key = KEYS[key], used_key = KEYS[key + 1], waiting_key = KEYS[key + 2], algorithm = ARGV[arg],
    limit = tonumber(ARGV[arg + 1]), window = tonumber(ARGV[arg + 2]), cost = tonumber(ARGV[arg + 3]), queue = tonumber(ARGV[arg + 4]) }
  l.interval = l.window / l.limit
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
const usually = (key: string, rest: string): RedisConnection.Script =>
  RedisConnection.script(`
local known = redis.call('MGET', KEYS[1], ${key})
local clock = redis.call('TIME')
local now = clock[1] * 1000 + clock[2] / 1000
local limit, window, cost, run = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4]), #ARGV[1] + 1
if not known[1] or string.sub(known[1], 1, run) ~= ARGV[1] .. ' ' or string.sub(known[1], run + 1) + window > now then return {} end
local value, said = known[2], clock[1] .. ' ' .. clock[2] .. ' '
${rest}`)

const paced = (start: string): RedisConnection.Script =>
  usually(
    "KEYS[2]",
    `local took = cost * window / limit
value = tonumber(value or 0)
local at = ${start}
if at > now + 0.001 then return {'0 ' .. said .. string.format('%.17g', at)} end
value = math.max(value, now) + took
local mark = string.format('%.17g', value)
redis.call('SET', KEYS[2], mark, 'PX', math.max(1, math.ceil(value - now)))
return {'1 ' .. said .. mark}`
  )

/**
 * The usual decision, by algorithm: one limit, by who does not wait and knows of no loss that still counts. The same as `admit` decides, without what it does not need: each argument,
 * call of Redis, closure and table costs about as much as the rest of it. KEYS: mark, state, used. ARGV: run, limit, window, cost. Answers [`1 SECONDS MICROSECONDS MARK`],
 * [`0 SECONDS MICROSECONDS NOT_BEFORE`], with the server's time; or nothing: it is for `admit` to decide, and nothing was spent.
 */
export const usual = {
  "token-bucket": paced("value + took - window"),
  "leaky-bucket": paced("value"),
  "fixed-window": usually(
    "KEYS[2]",
    `local start, used = 0, 0
if value then start, used = string.match(value, '^([^:]+):(.+)$') end
start, used = tonumber(start), tonumber(used)
if used == 0 or now >= start + window then start, used = now, 0 end
if start > now then return {} end
if used + cost > limit * (1 + 1e-9) then return {'0 ' .. said .. string.format('%.17g', start + window)} end
local mark = string.format('%.17g', start)
redis.call('SET', KEYS[2], mark .. ':' .. string.format('%.17g', used + cost), 'PX', math.max(1, math.ceil(start + window - now)))
return {'1 ' .. said .. mark}`
  ),
  "sliding-window": usually(
    "KEYS[3]",
    `local last, used, trimmed = redis.call('LINDEX', KEYS[2], -1), 0, false
if last then
  if tonumber(string.match(last, '^[^:]+')) > now then return {} end
  used = tonumber(value or 0)
  local head = redis.call('LINDEX', KEYS[2], 0)
  while head do
    local entered, spent = string.match(head, '^([^:]+):(.+)$')
    if entered + window > now then break end
    redis.call('LPOP', KEYS[2])
    used, trimmed = used - spent, true
    head = redis.call('LINDEX', KEYS[2], 0)
  end
  if not head then used = 0 end
end
if cost == 0 or used + cost > limit * (1 + 1e-9) then
  if trimmed then redis.call('SET', KEYS[3], string.format('%.17g', used), 'KEEPTTL') end
  return {}
end
local life, time = math.ceil(window), string.format('%.17g', now)
redis.call('RPUSH', KEYS[2], time .. ':' .. string.format('%.17g', cost))
redis.call('SET', KEYS[3], string.format('%.17g', used + cost), 'PX', life)
redis.call('PEXPIRE', KEYS[2], life)
return {'1 ' .. said .. time}`
  )
} as const

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
    forget_after(l.waiting_key, redis.call('ZRANGE', l.waiting_key, -1, -1, 'WITHSCORES')[2] - now)
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
  local entry = text(mark) .. ':' .. text(l.cost)
  local index = l.last and redis.call('LPOS', l.key, entry, 'RANK', -1)
  if not index then return {0} end
  if cost > 0 then
    redis.call('LSET', l.key, index, text(mark) .. ':' .. text(cost))
  else
    redis.call('LREM', l.key, -1, entry)
  end
  redis.call('SET', l.used_key, text(l.used - part), 'KEEPTTL')
elseif l.algorithm == 'f' then
  if l.start ~= mark then return {0} end
  redis.call('SET', l.key, text(l.start) .. ':' .. text(math.max(0, l.used - part)), 'KEEPTTL')
else
  if l.at ~= mark and redis.call('ZCOUNT', l.waiting_key, '(' .. text(now), '+inf') > 0 then return {0} end
  local saved = math.max(0, math.min(part * l.interval, mark - now))
  if saved == 0 or l.at == 0 then return {0} end
  redis.call('SET', l.key, text(l.at - saved), 'KEEPTTL')
end
return {1}`)
