-- Removes a field of a hash if it still holds the value that was found. -1: it holds another one, and is left.
local value = redis.call('HGET', KEYS[1], ARGV[1])
if not value then
  return 0
end
if value ~= ARGV[2] then
  return -1
end
return redis.call('HDEL', KEYS[1], ARGV[1])
