-- type: expressions, separated by " ; " . Each is stored, exported, read back and compared.
-- xml goes the way of every other spelled type; the embedded server is built without it.
smallint: -32768 ; 32767 ; NULL
integer: -2147483648 ; 0
bigint: -9223372036854775808 ; 9223372036854775807 ; 9007199254740993
numeric: 'NaN' ; 'Infinity' ; '-Infinity' ; 0.1000 ; 1e-100 ; 123456789012345678901234567890.123456789 ; -0
numeric(10,3): 1.5 ; 'NaN'
real: 0.1 ; 'NaN' ; 'Infinity' ; '-Infinity' ; 3.4028235e38 ; 1e-45
double precision: 0.1 ; 'NaN' ; '-Infinity' ; 'Infinity' ; 1.7976931348623157e308 ; 5e-324 ; 0.30000000000000004
money: 12345.67 ; -92233720368547758.08
boolean: true ; false ; NULL
text: '' ; E'a\nb\r\tc\\"' ; 'NULL' ; E'\x01\x02' ; 'Zażółć 😀 ﷽' ; '\N' ; '\.'
varchar(20): 'x  ' ; ''
char(5): 'ab' ; ''
"char": 'x'
name: 'n'
bytea: '' ; '\x00ff0a0d5c' ; decode(repeat('ab', 500), 'hex')
date: '2026-02-28' ; 'infinity' ; '-infinity' ; '0044-03-15 BC' ; '10000-01-01' ; '5874897-12-31'
timestamp: '2026-11-24 03:04:05.123456' ; 'infinity' ; '-infinity' ; '0001-01-01 00:00:00 BC' ; '294276-12-31 23:59:59.999999'
timestamptz: '2026-11-24 03:04:05.123456+05:30' ; 'infinity' ; '-infinity' ; '0044-03-15 12:00:00+00 BC'
time: '24:00:00' ; '03:04:05.000001'
time with time zone: '03:04:05+05:30' ; '24:00:00-15:59'
interval: '1 year -2 months 3 days -04:05:06.789' ; '0' ; '-1 day' ; '178000000 years' ; 'infinity'
uuid: 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'
json: '{"a": 1, "a": 2}' ; 'null' ; '"text"' ; '[1.10, 1e400]' ; '7' ; 'true' ; NULL
jsonb: '{"b": [1, null], "a": {"c": "\n"}}' ; 'null' ; '"null"' ; '12345678901234567890.10' ; 'false' ; NULL
bit(3): B'101'
bit varying: B'' ; B'10101'
inet: '10.0.0.1/8' ; '::1'
cidr: '10.0.0.0/8'
macaddr: '08:00:2b:01:02:03'
point: '(1.5,-2)'
line: '{1,2,3}'
box: '((0,0),(1,1))'
path: '[(0,0),(1,1)]'
polygon: '((0,0),(1,1),(2,0))'
circle: '<(1,2),3>'
tsvector: 'a:1 fat:2A'
tsquery: 'fat & (rat | cat)'
int4range: '[1,10)' ; 'empty' ; '(,5)'
numrange: '(1.10,2.200]'
tstzrange: '["2026-01-01 00:00+00",)'
int4multirange: '{[1,3),[5,7)}' ; '{}'
datemultirange: '{[2026-01-01,2026-02-01)}'
integer[]: '{}' ; '{1,NULL,3}' ; '{{1,2},{3,4}}' ; '[0:1]={5,6}' ; '[-2:-1][3:4]={{1,2},{3,4}}' ; NULL
text[]: ARRAY['a b', 'NULL', NULL, E'q"\\', ''] ; '{}'
numeric[]: ARRAY[1.10, 'NaN', 12345678901234567890.123]
double precision[]: ARRAY[0.1, 'NaN', 'Infinity', '-Infinity']::float8[]
boolean[]: ARRAY[true, false, NULL]
bytea[]: ARRAY['\x00ff'::bytea, NULL, '\x'::bytea]
jsonb[]: ARRAY['{"a": 1}'::jsonb, 'null'::jsonb, NULL]
json[]: ARRAY[E'{"a":\n1}'::json]
timestamptz[]: ARRAY['2026-01-01 00:00+00'::timestamptz, 'infinity']
date[]: ARRAY['2026-01-01'::date, '-infinity', '0044-03-15 BC']
uuid[]: ARRAY['a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'::uuid]
int4range[]: ARRAY['[1,3)'::int4range, 'empty']
mood: 'very happy' ; NULL
mood[]: ARRAY['sad', 'very happy', NULL]::mood[]
score: 7
scores: '{1,2}' ; '[3:4]={1,2}'
pair: ROW(1, 'a "quoted", text') ; ROW(NULL, NULL) ; NULL
pair[]: ARRAY[ROW(1, 'x')::pair, NULL]
pg_lsn: '16/B374D848'
oid: 4294967295
jsonpath: '$.a[*] ? (@ > 1)'
