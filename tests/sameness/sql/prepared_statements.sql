-- Prepared statements: generic and custom plans, parameters of many types, DDL between executions, cursors.
create table t (id int primary key, a int, v text);
insert into t select g, g % 10, 'v' || g from generate_series(1, 100) g;
create index on t (a);
prepare get (int) as select * from t where id = $1;
execute get(5); execute get(6); execute get(7); execute get(8); execute get(9); execute get(10); execute get(11);
prepare byrange (int, int) as select count(*), sum(id) from t where a between $1 and $2;
set plan_cache_mode = force_generic_plan;
execute byrange(2, 4); execute byrange(9, 1); execute byrange(null, 4);
set plan_cache_mode = force_custom_plan;
execute byrange(2, 4);
reset plan_cache_mode;
prepare anyof (int[]) as select id from t where id = any ($1) order by id;
execute anyof('{3,1,2,500}'); execute anyof('{}'); execute anyof(null);
prepare ins (int, text) as insert into t values ($1, 0, $2) returning *;
execute ins(200, 'new'); execute ins(200, 'dup'); execute ins(201, null);
prepare upd (int, text) as update t set v = $2 where id = $1 returning v;
execute upd(200, 'u1'); execute upd(999, 'none');
begin; execute upd(200, 'in tx'); execute get(200); rollback; execute get(200);
prepare del as delete from t where id = 200 returning id;
begin; execute del; rollback;
alter table t add column n int default 1;
execute get(5);
execute upd(200, 'after alter');
alter table t drop column v;
execute upd(200, 'no column');
execute ins(300, 'x');
drop index t_a_idx;
execute byrange(2, 4);
create index on t (a, id);
set enable_seqscan = off;
execute byrange(2, 4);
truncate t;
execute byrange(0, 9);
insert into t values (1, 1);
execute byrange(0, 9);
drop table t;
execute byrange(0, 9);
create table t (id int primary key, a int);
insert into t values (7, 7);
execute byrange(0, 9);
select name, parameter_types::text, from_sql from pg_prepared_statements order by name;
deallocate all;
prepare part (int) as select * from p where k = $1;
create table p (k int, v int) partition by list (k); create table p1 partition of p for values in (1); create table p2 partition of p for values in (2);
insert into p values (1, 10), (2, 20);
prepare part (int) as select tableoid::regclass, * from p where k = $1;
execute part(1); execute part(2); execute part(3);
alter table p detach partition p2; execute part(2);
prepare many as insert into t select g, g from generate_series(100, 110) g on conflict do nothing;
execute many; execute many; select count(*) from t;
select $1 + 1, $2::text \bind 5 'x' \g
select count(*) from t where a > $1 \bind 105 \g
insert into t values ($1, $2) \bind 500 7 \g
select * from t where id = $1 \bind 500 \g
