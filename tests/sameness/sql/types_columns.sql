-- Every kind of type as a plain column: round trip, NULL, update, aggregate, wide rows.
create type same_color as enum ('red', 'green', 'blue');
create type same_address as (street text, zip int);
create domain same_email as text check (value ~ '@');
create table everything (
    id int primary key, i2 int2, i4 int4, i8 int8, f4 float4, f8 float8, n numeric, n2 numeric(12, 4), mo money, b bool,
    c char(5), vc varchar(10), t text, nm name, c1 "char", by bytea, u uuid, d date, ti time(3), tz timetz, ts timestamp(0),
    tsz timestamptz, iv interval, ine inet, ci cidr, ma macaddr, ma8 macaddr8, bi bit(4), vb varbit(8), j json, jb jsonb,
    po point, li line, ls lseg, bo box, pa path, pg polygon, cir circle, tv tsvector, tq tsquery, r4 int4range,
    r8 int8range, rn numrange, rd daterange, rt tsrange, rtz tstzrange, mr int4multirange, en same_color, co same_address,
    em same_email, ia int[], ta text[], ea same_color[], ca same_address[], na numeric[], o oid, rc regclass, ls2 pg_lsn,
    x8 xid8, jp jsonpath, iv2 int2vector);
insert into everything (id) values (0);
insert into everything values (
    1, -32768, 2147483647, -9223372036854775808, 1.5, 'NaN', 123456789012345678901234567890.123456789, 1.00005, 12.34, true,
    'ab', 'varchar', 'text', 'name', 'c', '\x00ff10', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', '2024-02-29', '12:34:56.7896',
    '12:34:56+02', '2024-02-29 12:34:56.7', '2024-02-29 12:34:56.789012+05:30', '1 year 2 mons 3 days 04:05:06.7',
    '192.168.0.1/24', '10.0.0.0/8', '08:00:2b:01:02:03', '08:00:2b:01:02:03:04:05', B'1010', B'10101', '{"a": [1, 2,  3]}',
    '{"b": 1, "a": [1, {"c": null}]}', '(1,2)', '{1,2,3}', '[(0,0),(1,1)]', '(1,1),(0,0)', '[(0,0),(1,1),(2,0)]',
    '((0,0),(1,1),(2,0))', '<(1,1),2>', 'a:1 fat:2 cat:3', 'fat & cat', '[1,10)', '[5,)', '(1.5,2.5]',
    '[2024-01-01,2024-02-01)', '[2024-01-01 00:00,2024-01-02 00:00]', '[2024-01-01 00:00+00,)', '{[1,2),[5,7)}', 'green',
    '(Main,12345)', 'me@example.org', '{1,2,null}', '{a,"b c",null}', '{red,blue}', '{"(A,1)","(B,2)"}', '{1.5,2.50}', 42,
    'pg_class', '0/16B3748', '77', '$.a[*] ? (@ > 1)', '1 2 3');
\x on
select * from everything order by id;
\x off
update everything set (i2, f8, n, t, jb, ia, co, r4, iv) = (7, '-Infinity', 1e-20, repeat('long ', 1000), jb || '{"z": 9}', ia || 4, row ('Side', 2), r4 + int4range(10, 20), iv * 2) where id = 1 returning i2, f8, n, length(t), jb, ia, co, r4, iv;
update everything set ia[2] = 99, co.zip = 7, ca[1].street = 'Q' where id = 1 returning ia, co, ca;
update everything set ia[5:6] = '{5,6}' where id = 0 returning ia;
select count(*), count(i2), count(t) from everything;
select (e.co).street, (e.ca)[2].zip, e.jb -> 'a' -> 1 ->> 'c' is null, e.ia[2], e.en > 'red' from everything e where id = 1;
insert into everything (id, n2) values (2, 123456789.1);
insert into everything (id, vc) values (3, 'far too long for this');
insert into everything (id, vc) values (3, 'spaces   ' || '         ');
insert into everything (id, em) values (4, 'nobody');
insert into everything (id, en) values (5, 'mauve');
insert into everything (id, bi) values (6, B'101');
insert into everything (id, u) values (7, 'not-a-uuid');
select id, '[' || vc || ']' from everything where id = 3;
insert into everything select 10 + id, i2, i4 from everything where id < 2;
select id, i2, i4 from everything order by id;
select everything from everything where id = 10;
select to_jsonb(e) ->> 'en' from everything e where id = 1;
create table toast_kinds (id int primary key, p text, e text, x text, m text);
alter table toast_kinds alter p set storage plain, alter e set storage external, alter x set storage extended, alter m set storage main;
insert into toast_kinds values (1, repeat('p', 5000), repeat('e', 50000), repeat('x', 50000), repeat('m', 50000));
select id, md5(p), md5(e), md5(x), md5(m), substr(e, 40000, 3) from toast_kinds;
create table copy_of_large as select id + 1 as id, e, x from toast_kinds;
select id, length(e), length(x) from copy_of_large;
update toast_kinds set id = id + 1;
insert into toast_kinds select 10, p, p, m, x from toast_kinds;
select id, md5(p), md5(e), md5(x), md5(m) from toast_kinds order by id;
