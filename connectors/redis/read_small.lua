-- What keys hold, all as of one instant. Of each: its type, when it expires, and what it holds: false if that is more
-- than ARGV[1] bytes.
local reads = {
  string = {'GET'},
  hash = {'HGETALL'},
  set = {'SMEMBERS'},
  zset = {'ZRANGE', 0, -1, 'WITHSCORES'},
  list = {'LRANGE', 0, -1},
  stream = {'XRANGE', '-', '+'},
}
local result = {}
for i, key in ipairs(KEYS) do
  local kind, held = redis.call('TYPE', key).ok, false
  if kind ~= 'none' and redis.call('MEMORY', 'USAGE', key) <= tonumber(ARGV[1]) then
    local word, first, last, also = unpack(reads[kind] or {'DUMP'})
    local words = {word, key, first, last, also}
    held = redis.call(unpack(words))
  end
  result[i] = {kind, redis.call('PEXPIRETIME', key), held}
end
return result
