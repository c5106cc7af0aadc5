import { LONGEST_DEBT_US } from "../points/bounds.ts";
import { SUB_WINDOWS, TICKS } from "../points/sliding.ts";

/** `clock`: a Lua expression for the time in whole microseconds. */
export function giveBackLua(clock: string): string {
  return `
-- Gives points back: to all of its buckets, or to none.
--
-- Why a script: a bucket is read and written, and no take may come between. Why not a mode of the take
-- script, which decodes the same states: that one runs for every request, this one for a support case.
--
-- KEYS: the buckets; after them, where there is a request_id, its keys, one a bucket.
-- ARGV[1], little-endian; d: a double, times in whole us:
--   d not after (this Redis's clock: later, nothing is done), B what (0 all, 1 some), B 1 with a request_id;
--   for some, each bucket: B shape (1 sliding, 2 fixed, 3 bucket), d points to give back, d window,
--   d how long a request_id is remembered, d how long its key is kept beyond that
-- Answer, packed: d the clock, B verdict:
--   0 done: and for some each bucket's d points given back
--   1 late, 2 the request_id was used with other points, 3 a bucket that cannot be read: nothing done
--
-- State of a bucket: as at the head of the take script. The key's expiry stays: what is spent ends no later.
-- State of a request_id: d points, d until (on the bucket's clock), d points given back.

local clock = ${clock}
local pack, unpacked, call = struct.pack, struct.unpack, redis.call
local max, min, floor, ceil = math.max, math.min, math.floor, math.ceil
local DONE, LATE, REUSED, UNREADABLE = 0, 1, 2, 3
local SLIDING, FIXED = 1, 2
local LATEST = 2 ^ 53
local LONGEST_DEBT, SUB_WINDOWS, TICKS = ${LONGEST_DEBT_US}, ${SUB_WINDOWS}, ${TICKS}
local SHORT_HEADER, SLIDING_HEADER, SUB = 49, 57, 6

local function verdict(code) return pack('<dB', clock, code) end

local notAfter, what, named, position = unpacked('<dBB', ARGV[1])
if clock > notAfter then return verdict(LATE) end
if what == 0 then
  call('DEL', unpack(KEYS))
  return verdict(DONE)
end

local count = named == 1 and #KEYS / 2 or #KEYS

-- Whole numbers from 0 up that can be a state (nor NaN).
local function plausible(...)
  for _, value in ipairs({...}) do
    if not (value >= 0 and value < 1e30 and value % 1 == 0) then return false end
  end
  return true
end

-- The older sub-windows that still count, oldest first, and where each stands.
local function olderSubs(b, raw, limit)
  local most = floor(limit.window / SUB_WINDOWS)
  local tick = ceil(most / TICKS)
  local span = most - most % tick
  local newest = floor((b.last - b.start) / span)
  local subs = {}
  for at = SLIDING_HEADER + 1, #raw, SUB do
    local number, ticks, points = unpacked('<BBI4', raw, at)
    local last = b.start + (newest - (newest - number) % 256) * span + ticks * tick
    if last + limit.window > b.now then subs[#subs + 1] = {number = number, ticks = ticks, points = points + 1} end
  end
  return subs
end

-- Each answers the new value and the points given back; nothing: the bucket cannot be read.
local function fromSliding(b, raw, limit)
  if #raw < SLIDING_HEADER or (#raw - SLIDING_HEADER) % SUB ~= 0 then return end
  local last, newest = unpacked('<dd', raw, 34)
  if not plausible(last, newest) or last > LATEST or (newest > 0 and last < b.start) then return end
  b.last = last
  local left, total, older = limit.points, 0, {}
  if newest > 0 and last + limit.window > b.now then
    for _, sub in ipairs(olderSubs(b, raw, limit)) do
      local given = min(left, sub.points)
      left = left - given
      if given < sub.points then
        total = total + sub.points - given
        older[#older + 1] = pack('<BBI4', sub.number, sub.ticks, sub.points - given - 1)
      end
    end
    local given = min(left, newest)
    left = left - given
    newest = newest - given
  else
    newest = 0
  end
  local header = pack('<Bddddddd', SLIDING, b.now, b.block, b.expiry, b.start, last, newest, total + newest)
  return header .. table.concat(older), limit.points - left
end

local function fromShort(b, raw, limit)
  if #raw ~= SHORT_HEADER or not plausible(b.rate) then return end
  local start, points, given = b.start, b.points, 0
  if limit.shape == FIXED then
    if b.now < start + limit.window then given = min(limit.points, points) end
    points = points - given
  else
    local level = min(max(0, points - (b.now - start) * b.rate), b.rate * LONGEST_DEBT)
    local lowered = min(level, limit.points * limit.window)
    start, points, given = b.now, level - lowered, ceil(lowered / limit.window)
  end
  return pack('<Bdddddd', limit.shape, b.now, b.block, b.expiry, start, points, b.rate), given
end

local function decode(raw, limit)
  if #raw < SHORT_HEADER then return end
  local shape, last, block, expiry, start, points, rate = unpacked('<Bdddddd', raw)
  if shape ~= limit.shape or not plausible(last, block, expiry, start, points)
    or max(last, block, expiry, start) > LATEST then
    return
  end
  return {now = max(last, clock), block = block, expiry = expiry, start = start, points = points, rate = rate}
end

-- First all is read and decided, then written.
local given, writes = {}, {}
for i = 1, count do
  local limit = {}
  limit.shape, limit.points, limit.window, limit.remember, limit.slack, position =
    unpacked('<Bdddd', ARGV[1], position)
  local raw = call('MGET', KEYS[i])[1]
  if not raw and call('EXISTS', KEYS[i]) == 1 then return verdict(UNREADABLE) end
  local b = raw and decode(raw, limit) or {now = clock}
  if raw and not b.block then return verdict(UNREADABLE) end

  local id, before = named == 1 and KEYS[count + i], false
  if id then
    local known = call('MGET', id)[1]
    if known then
      if #known ~= 24 then return verdict(UNREADABLE) end
      local points, till, gave = unpacked('<ddd', known)
      if b.now < till then
        if points ~= limit.points then return verdict(REUSED) end
        before = gave
      end
    end
  end

  if before then
    given[i] = before
  else
    local state
    given[i] = 0
    if raw then
      state, given[i] = (limit.shape == SLIDING and fromSliding or fromShort)(b, raw, limit)
      if not state then return verdict(UNREADABLE) end
    end
    if given[i] > 0 then writes[#writes + 1] = {'SET', KEYS[i], state, 'KEEPTTL'} end
    if id then
      local till = b.now + limit.remember
      local expiry = string.format('%.0f', ceil((till + limit.slack) / 1000))
      writes[#writes + 1] = {'SET', id, pack('<ddd', limit.points, till, given[i]), 'PXAT', expiry}
    end
  end
end

for _, write in ipairs(writes) do call(unpack(write)) end
local answer = {verdict(DONE)}
for i = 1, count do answer[i + 1] = pack('<d', given[i]) end
return table.concat(answer)
`;
}
