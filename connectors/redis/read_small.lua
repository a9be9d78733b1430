-- What keys hold, all as of one instant. Of each: its type, when it expires, and what it holds: false if that is more
-- than ARGV[1] bytes, or in more than ARGV[2] elements: so few are all weighed, where the server would take a sample, and
-- a sample misses the one that is large.
local reads = {
  string = {'GET'},
  hash = {'HGETALL'},
  set = {'SMEMBERS'},
  zset = {'ZRANGE', 0, -1, 'WITHSCORES'},
  list = {'LRANGE', 0, -1},
  stream = {'XRANGE', '-', '+'},
}
local counts = {hash = 'HLEN', set = 'SCARD', zset = 'ZCARD', list = 'LLEN', stream = 'XLEN'}
local function small(key, kind)
  local count = counts[kind]
  if count and redis.call(count, key) > tonumber(ARGV[2]) then
    return false
  end
  return redis.call('MEMORY', 'USAGE', key, 'SAMPLES', 0) <= tonumber(ARGV[1])
end
local result = {}
for i, key in ipairs(KEYS) do
  local kind, held = redis.call('TYPE', key).ok, false
  if kind ~= 'none' and small(key, kind) then
    local word, first, last, also = unpack(reads[kind] or {'DUMP'})
    local words = {word, key, first, last, also}
    held = redis.call(unpack(words))
  end
  result[i] = {kind, redis.call('PEXPIRETIME', key), held}
end
return result
