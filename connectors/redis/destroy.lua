-- Removes keys, all of them or none: 0 if one of them holds more or fewer records than were counted.
-- ARGV: what a record is ("key": the key itself), then each key's number. A key that has expired is gone already.
local lengths = {hash = 'HLEN', set = 'SCARD', zset = 'ZCARD', list = 'LLEN', stream = 'XLEN'}
for i, key in ipairs(KEYS) do
  local kind = redis.call('TYPE', key).ok
  if kind ~= 'none' and ARGV[1] ~= 'key' then
    if not lengths[kind] or redis.call(lengths[kind], key) ~= tonumber(ARGV[i + 1]) then
      return 0
    end
  end
end
redis.call('UNLINK', unpack(KEYS))
return 1
