-- type: expressions, separated by " ; " . Each is stored, exported, read back by docs/connectors/mysql.md, and compared.
tinyint: -128 ; 127 ; NULL
tinyint unsigned: 0 ; 255
tinyint(1): 0 ; 1 ; 7
boolean: true ; false
smallint: -32768 ; 32767
smallint unsigned: 65535
mediumint: -8388608 ; 8388607
mediumint unsigned: 16777215
int: -2147483648 ; 2147483647
int unsigned: 4294967295
int(5) zerofill: 7 ; 70
bigint: -9223372036854775808 ; 9223372036854775807 ; 9007199254740993
bigint unsigned: 18446744073709551615 ; 9223372036854775808
decimal(65,30): 12345678901234567890123456789012345.123456789012345678901234567891 ; -0.000000000000000000000000000001 ; 1.50
decimal(10,2): -12345678.90 ; 0
decimal(5,0): 99999
decimal(10,2) zerofill: 7.5
float: 0.1 ; 3.4028234e38 ; 1.1754944e-38 ; -0.0 ; 16777217
double: 0.1 ; 1.7976931348623157e308 ; 5e-324 ; 0.30000000000000004 ; 1e21 ; -0.0 ; 123456789012345680
float unsigned: 1.5
bit(1): b'1' ; b'0' ; NULL
bit(10): b'0000000101' ; b'1111111111'
bit(64): b'1111111111111111111111111111111111111111111111111111111111111111'
char(5): 'ab' ; '' ; 'a b'
varchar(50): 'x  ' ; '' ; ' ' ; 'NULL' ; 'a\\b"c\'d/e' ; 'Zażółć 😀 ﷽'
varchar(50) character set latin1: 'é ÿ' ; 'x '
varchar(50) character set latin2: 'Zażółć'
varchar(50) character set utf16: '😀 x'
varchar(50) character set ucs2: 'é'
varchar(50) character set cp1251: 'Привет'
varchar(50) character set big5: '中文'
varchar(50) character set sjis: '日本'
tinytext: 'a\nb\r\tc' ; '\Z\b\0x'
text: '' ; '\u0001' ; repeat('x\n"', 1000)
mediumtext: '\\N' ; concat('a', char(1), char(31), char(127), char(226, 128, 168 using utf8mb4))
longtext: repeat('é', 100000)
binary(4): x'00ff0a0d' ; 'a'
varbinary(300): '' ; x'00ff0a0d5c27' ; unhex(repeat('ab', 300))
tinyblob: x'00'
blob: x'' ; unhex(repeat('5c', 1000))
mediumblob: NULL
longblob: unhex(repeat('00ff', 100000))
date: '2026-02-28' ; '1000-01-01' ; '9999-12-31' ; '0001-01-01'
datetime: '2026-11-24 03:04:05' ; '0001-01-01 00:00:00' ; '9999-12-31 23:59:59'
datetime(6): '2026-11-24 03:04:05.123456' ; '9999-12-31 23:59:59.999999'
datetime(3): '2026-11-24 03:04:05.120'
timestamp null: '2026-11-24 03:04:05' ; '1970-01-01 00:00:01' ; '2038-01-19 03:14:07' ; NULL
timestamp(6) null: '2026-03-29 02:30:00.000001'
time: '00:00:00' ; '-838:59:59' ; '838:59:59' ; '26:00:00'
time(6): '-00:00:00.000001' ; '12:34:56.789012'
year: 1901 ; 2155 ; 0
enum('sad', 'very happy', '7', ''): 'very happy' ; '7' ; '' ; NULL
set('a', 'b', 'c d'): 'a,c d' ; '' ; 'b'
json: '{"a": 1, "b": [1.10, 1e400, null]}' ; 'null' ; '"text"' ; '7' ; 'true' ; '"null"' ; '{"c": "\\n é"}' ; '[]' ; NULL ; '12345678901234567890.10' ; '{"a":\n1}'
uuid: 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'
inet4: '10.0.0.1' ; '255.255.255.255'
inet6: '::1' ; '2001:db8::ff00:42:8329' ; '::ffff:10.0.0.1'
point: ST_GeomFromText('POINT(1.5 -2)') ; ST_GeomFromText('POINT(0.1 0.30000000000000004)', 4326) ; NULL
linestring: ST_GeomFromText('LINESTRING(0 0,1 1)')
polygon: ST_GeomFromText('POLYGON((0 0,1 0,1 1,0 0))')
multipoint: ST_GeomFromText('MULTIPOINT(0 0,1 1)')
multilinestring: ST_GeomFromText('MULTILINESTRING((0 0,1 1),(2 2,3 3))')
multipolygon: ST_GeomFromText('MULTIPOLYGON(((0 0,1 0,1 1,0 0)))')
geometrycollection: ST_GeomFromText('GEOMETRYCOLLECTION(POINT(1 1),LINESTRING(0 0,1 1))')
geometry: ST_GeomFromText('POINT(7 7)')
