import { LONGEST_DEBT_US, MOST_POINTS } from "../points/bounds.ts";
import { SUB_WINDOWS, TICKS } from "../points/sliding.ts";

/** `clock`: a Lua expression for the time in whole microseconds. */
export function takeLua(clock: string): string {
  return `
-- Takes points: decides a batch of takes, each over all of its charges or none.
--
-- Why a script: a take reads its buckets, decides, and writes them, and nothing may come between. Why one
-- script for many takes: most of the cost of a call is the call. It decodes all, decides all in order (so
-- that a later take sees what an earlier one charged), and then writes: what fails, fails before a write.
-- So nothing that is written may be beyond what a command takes: what a bucket holds is bounded when it is
-- read, and when it is charged.
--
-- KEYS: each bucket and each remembered request_id that the takes name, once.
-- ARGV[1]: the limits, one after another. All numbers are little-endian; d: a double, times in whole us:
--   B shape (1 sliding, 2 fixed, 3 bucket), B 1 in shadow, d points, d window, d block,
--   d how long a request_id is remembered, d how long a key is kept beyond its end
-- ARGV[2]: the takes, one after another:
--   d not after (this Redis's clock: later, the take does nothing), B mode (0 enforce, 1 peek, 2 record),
--   H number of charges; each charge: H bucket (index in KEYS), H request_id (index in KEYS, 0 none),
--   H limit (index), d cost
-- Answer, packed: d the clock; for each take B verdict:
--   0 admitted, 1 exceeded, 2 blocked, by the limits not in shadow: and for each charge B its own outcome
--     (the same three), d remaining, d reset ms, d blocked ms, d retry after ms
--   3 late, 4 the request_id was used with another cost, 5 a bucket that cannot be read, of a limit not in
--   shadow: nothing done
--
-- State of a bucket: a header: B shape, d last (time of the last change), d block until, d the key's
-- expiry, and
--   fixed: d start, d points, d unused
--   bucket: d at, d level (points x window in us), d rate
--   sliding: d start (of the first sub-window), d last charge and d points of the newest (0 points: there
--     is none), d points of all; after the header the older ones that counted then, oldest first, 6 bytes
--     each: B number from the start, modulo 256, B ticks to its last charge, I4 points less 1.
-- So most charges write a header in place, and read no older sub-window but the oldest. The value of a
-- sliding bucket is written whole when one ends or begins: to make it longer in place would let Redis
-- set aside room for twice as many.
-- State of a request_id: d cost, d until (on the bucket's clock).
-- Measured on Redis 7.0 (npm run bench -- --points: 64 charges a call, 10,000 subjects, 2 shared cores): fixed and
-- bucket 3.7 us of its CPU a charge, sliding 4.3, and 7.2 where every sub-window is in use and each charge ends one
-- and begins one. A request_id adds 3: a key of its own.
-- The rules are those of the in-process buckets, number by number; see there for the reasons.

local clock = ${clock}
local pack, unpacked, call = struct.pack, struct.unpack, redis.call
local max, min, floor, ceil, format = math.max, math.min, math.floor, math.ceil, string.format
local SLIDING, BUCKET = 1, 3
local ENFORCE, PEEK, RECORD = 0, 1, 2
local ADMITTED, EXCEEDED, BLOCKED, LATE, REUSED, UNREADABLE = 0, 1, 2, 3, 4, 5
-- Any time that is read is at most this (the year 2255): those that follow from it Redis takes, too.
local LATEST = 2 ^ 53
local LONGEST_DEBT, MOST_POINTS = ${LONGEST_DEBT_US}, ${MOST_POINTS}
local SUB_WINDOWS, TICKS = ${SUB_WINDOWS}, ${TICKS}
local SHORT_HEADER, SLIDING_HEADER, SUB = 49, 57, 6

local limits, position = {}, 1
while position <= #ARGV[1] do
  local limit, shadow = {}, 0
  limit.shape, shadow, limit.points, limit.window, limit.block, limit.remember, limit.slack, position =
    unpacked('<BBddddd', ARGV[1], position)
  limit.shadow = shadow == 1
  local most = floor(limit.window / SUB_WINDOWS)
  limit.tick = ceil(most / TICKS)
  limit.span = most - most % limit.tick
  -- What a point is in the shape's own units.
  limit.unit = limit.shape == BUCKET and limit.window or 1
  limit.capacity = limit.points * limit.unit
  -- The most that a bucket, or a sub-window, holds.
  limit.most = limit.shape == BUCKET and limit.points * LONGEST_DEBT or MOST_POINTS
  limits[#limits + 1] = limit
end

-- MGET answers nothing for a key of another type, too: EXISTS tells it from one that is not there.
local values, missing = call('MGET', unpack(KEYS)), {}
for i = 1, #KEYS do
  if not values[i] then missing[#missing + 1] = KEYS[i] end
end
if #missing > 0 and call('EXISTS', unpack(missing)) > 0 then
  for i = 1, #KEYS do
    if not values[i] and call('EXISTS', KEYS[i]) == 1 then values[i] = '' end
  end
end

-- Whether what was read can be a state: whole numbers from 0 up, none beyond any level (1.4e24; nor NaN).
local function plausible(a, b, c, d, e)
  local sum = a + b + c + d + e
  return sum < 1e30 and sum % 1 == 0 and min(a, b, c, d, e) >= 0
end

-- A sub-window before the one that was the newest when it was read: its first moment, its last charge, its
-- points.
local function olderSub(b, raw, at, limit)
  local number, ticks, points = unpacked('<BBI4', raw, at)
  local first = b.newestFirst - (b.newest - number) % 256 * limit.span
  return first, first + ticks * limit.tick, points + 1
end

-- Decodes a sliding bucket, without the sub-windows that no longer count. False: it cannot be read.
local function loadSliding(b, raw, limit)
  if #raw < SLIDING_HEADER or (#raw - SLIDING_HEADER) % SUB ~= 0 then return false end
  local last, points, total = unpacked('<ddd', raw, 34)
  if not plausible(last, points, total, 0, 0) or last > LATEST then return false end
  local window, now = limit.window, b.now
  if points == 0 or last + window <= now then
    b.fresh = true
    return b
  end
  if last < b.start then return false end
  local newest = floor((last - b.start) / limit.span)
  local first = b.start + newest * limit.span
  b.newest, b.newestFirst, b.first, b.last, b.points = newest, first, first, last, points
  local head = SLIDING_HEADER + 1
  local partial = first + window <= now and points or 0
  while head <= #raw do
    local headFirst, headLast, headPoints = olderSub(b, raw, head, limit)
    if headLast + window > now then
      partial = headFirst + window <= now and headPoints or 0
      break
    end
    total = total - headPoints
    head = head + SUB
  end
  b.head, b.amount, b.certain = head, total, total - partial
  return b
end

-- Decodes a bucket; false: it cannot be read.
local function decode(raw, limit)
  if #raw < SHORT_HEADER then return false end
  local shape, last, block, expiry, start, points, rate = unpacked('<Bdddddd', raw)
  if shape ~= limit.shape or not (last >= 0 and last <= LATEST and block >= 0 and block <= LATEST
    and expiry >= 0 and expiry <= LATEST and start >= 0 and start <= LATEST
    and (last + block + expiry + start) % 1 == 0) then
    return false
  end
  local now = last > clock and last or clock
  if shape == SLIDING then
    -- Each field that comes later stands here too: a table that grows is filled anew.
    return loadSliding({
      now = now, block = block, expiry = expiry, amount = 0, certain = 0, start = start, points = points,
      limit = false, full = 0, first = false, last = false, head = false, newest = false, newestFirst = false,
      closed = false, fresh = false,
    }, raw, limit)
  end
  if #raw ~= SHORT_HEADER or not (points >= 0 and points < 1e30 and rate >= 0 and rate < 1e30
    and (points + rate) % 1 == 0) then
    return false
  end
  local amount = 0
  if shape == BUCKET then
    -- No charge leaves more than that; without a rate nothing would flow back.
    amount = min(max(0, points - (now - start) * rate), rate * LONGEST_DEBT)
  elseif now < start + limit.window then
    amount = points
  end
  return {
    now = now, block = block, expiry = expiry, amount = amount, certain = amount, start = start,
    points = points, rate = rate, limit = false, full = 0,
  }
end

-- The bucket, decoded once a batch; false: it cannot be read. Its time stands still during the batch.
-- amount: what counts of its charges, in the shape's units; certain: without what only rounding counts.
local buckets = {}
local function load(i, limit)
  local b = buckets[i]
  if b == nil then
    local raw = values[i]
    if raw then
      b = decode(raw, limit)
    else
      b = {
        now = clock, block = 0, amount = 0, certain = 0, start = 0, points = 0, rate = 0, fresh = true,
        limit = false, full = 0,
      }
    end
    buckets[i] = b
  end
  return b
end

-- What was never charged, for what cannot be read.
local blank = {now = clock, block = 0, amount = 0}

-- What was charged before under the request_id, decoded once a batch; false: it cannot be read.
local requests = {}
local function recall(i)
  local r = requests[i]
  if r == nil then
    local raw = values[i]
    r = {cost = 0, till = 0}
    if raw then
      if #raw == 16 then r.cost, r.till = unpacked('<dd', raw) else r = false end
    end
    requests[i] = r
  end
  return r
end

local function untilFull(b, limit)
  local amount = b.amount
  if amount == 0 then return 0 end
  if limit.shape == SLIDING then return b.last + limit.window - b.now end
  if limit.shape == BUCKET then return ceil(amount / b.rate) end
  return b.start + limit.window - b.now
end

local function untilFits(b, i, limit, cost)
  local excess = b.amount + cost * limit.unit - limit.capacity
  if excess <= 0 then return 0 end
  if limit.shape == BUCKET and cost <= limit.points then return ceil(excess / b.rate) end
  if limit.shape == SLIDING and b.head then
    for at = b.head, #values[i], SUB do
      local _, last, points = olderSub(b, values[i], at, limit)
      excess = excess - points
      if excess <= 0 then return last + limit.window - b.now end
    end
    if b.closed and excess <= b.closed.points then return b.closed.last + limit.window - b.now end
  end
  return untilFull(b, limit)
end

local changed, changes = {}, 0
local function change(i, b, limit)
  if not b.limit then
    changes = changes + 1
    changed[changes] = i
  end
  b.limit = limit
end

local function charge(b, limit, cost)
  local now = b.now
  if limit.shape == SLIDING then
    local before = 0
    if b.last and now < b.first + limit.span then
      before = b.points
      b.last = now
    else
      -- At most once a batch: what begins now takes in all that follows.
      if b.last then
        local ticks = ceil((b.last - b.first) / limit.tick)
        b.closed = {ticks = ticks, last = b.first + ticks * limit.tick, points = b.points}
      else
        b.start = now
      end
      b.first, b.last = now - (now - b.start) % limit.span, now
    end
    b.points = min(before + cost, limit.most)
    local added = b.points - before
    b.amount, b.certain = b.amount + added, b.certain + added
  else
    local amount = b.amount
    if limit.shape == BUCKET then
      b.start, b.rate = now, limit.points
    elseif amount == 0 then
      b.start = now
    end
    amount = min(amount + cost * limit.unit, limit.most)
    b.points, b.amount, b.certain = amount, amount, amount
  end
end

local answer, size, takes = {pack('<d', clock)}, 1, ARGV[2]
local verdicts = {[0] = '\\0', '\\1', '\\2', '\\3', '\\4', '\\5'}
-- Of the charges of the take at hand.
local names, ids, theirLimits, costs, theirBuckets, repeats, outcomes = {}, {}, {}, {}, {}, {}, {}
position = 1
while position <= #takes do
  local notAfter, mode, count
  notAfter, mode, count, position = unpacked('<dBH', takes, position)
  local verdict = ADMITTED
  if clock > notAfter then
    verdict = LATE
    position = position + count * 14
  else
    for c = 1, count do
      local name, id, limit, cost
      name, id, limit, cost, position = unpacked('<HHHd', takes, position)
      limit = limits[limit]
      names[c], ids[c], theirLimits[c], costs[c] = name, id, limit, cost
      local b = load(name, limit)
      local r = nil
      if id > 0 then r = recall(id) end
      if (b == false or r == false) and limit.shadow then
        -- It refuses nobody, and counts nothing.
        theirBuckets[c], repeats[c], outcomes[c] = blank, true, ADMITTED
      elseif b == false or r == false then
        verdict = UNREADABLE
      elseif verdict ~= UNREADABLE then
        if r and b.now >= r.till then r = nil end
        theirBuckets[c], repeats[c] = b, r
        local outcome = ADMITTED
        if r then
          if r.cost ~= cost and not limit.shadow then outcome = REUSED end
        elseif mode ~= RECORD then
          if b.block > b.now then
            outcome = BLOCKED
          elseif b.amount + cost * limit.unit > limit.capacity then
            outcome = EXCEEDED
          end
        end
        outcomes[c] = outcome
        if outcome > verdict and not limit.shadow then verdict = outcome end
      end
    end
  end

  size = size + 1
  answer[size] = verdicts[verdict]
  if verdict <= BLOCKED then
    for c = 1, count do
      local b, limit, cost, outcome = theirBuckets[c], theirLimits[c], costs[c], outcomes[c]
      if cost > 0 and mode ~= PEEK and not repeats[c] then
        -- Where all is admitted, only a limit in shadow can say anything else.
        if verdict == ADMITTED and outcome == ADMITTED then
          charge(b, limit, cost)
          change(names[c], b, limit)
          if limit.block > 0 and b.block <= b.now and b.certain > limit.capacity then
            b.block = b.now + limit.block
          end
          if ids[c] > 0 then
            requests[ids[c]] = {cost = cost, till = b.now + limit.remember, slack = limit.slack}
          end
        elseif outcome == EXCEEDED and mode == ENFORCE and verdict == (limit.shadow and ADMITTED or EXCEEDED)
          and limit.block > 0 and cost <= limit.points
          and b.certain + cost * limit.unit > limit.capacity then
          b.block = b.now + limit.block
          change(names[c], b, limit)
        end
      end
      local full, blocked, remaining, retry = untilFull(b, limit), 0, 0, 0
      b.full = full
      if b.block > b.now then
        blocked = b.block - b.now
        if blocked > full then full = blocked end
      elseif b.amount < limit.capacity then
        remaining = limit.capacity - b.amount
        if limit.unit > 1 then remaining = floor(remaining / limit.unit) end
      end
      if outcome ~= ADMITTED then
        retry = max(blocked, untilFits(b, names[c], limit, cost))
        retry = ceil(retry / 1000)
      end
      if blocked > 0 then blocked = ceil(blocked / 1000) end
      size = size + 1
      answer[size] = pack('<Bdddd', outcome, remaining, ceil(full / 1000), blocked, retry)
    end
  end
end

for n = 1, changes do
  local i = changed[n]
  local b = buckets[i]
  local limit, raw = b.limit, values[i]
  -- Of the last answer, which came after the last change.
  local past = b.now + b.full
  if b.block > past then past = b.block end
  past = past + limit.slack
  -- The expiry is set further ahead than it must be, so that most changes leave it as it is.
  local rewrites = b.fresh or past > b.expiry
  if rewrites then b.expiry = past + floor(limit.slack / 2) end
  local state, whole
  if limit.shape == SLIDING then
    local last, points = 0, 0
    if b.last then last, points = b.last, b.points end
    state = pack('<Bddddddd', SLIDING, b.now, b.block, b.expiry, b.start, last, points, b.amount)
    whole = rewrites or b.closed or b.head > SLIDING_HEADER + 1
    if whole and b.head then state = state .. string.sub(raw, b.head) end
    if b.closed then state = state .. pack('<BBI4', b.newest % 256, b.closed.ticks, b.closed.points - 1) end
  else
    state = pack('<Bdddddd', limit.shape, b.now, b.block, b.expiry, b.start, b.points, b.rate)
  end
  if rewrites then
    call('SET', KEYS[i], state, 'PXAT', format('%.0f', ceil(b.expiry / 1000)))
  elseif whole then
    call('SET', KEYS[i], state, 'KEEPTTL')
  else
    call('SETRANGE', KEYS[i], '0', state)
  end
end
for i, r in pairs(requests) do
  if r and r.slack then
    call('SET', KEYS[i], pack('<dd', r.cost, r.till), 'PXAT', format('%.0f', ceil((r.till + r.slack) / 1000)))
  end
end
return table.concat(answer)
`;
}
