-- VACUUM, ANALYZE, REINDEX, statistics, index properties, relation sizes as far as they must be equal.
create table t (id int primary key, a int, b text);
insert into t select g, g % 10, 'text ' || g % 100 from generate_series(1, 3000) g;
create index t_a on t (a);
analyze t;
select reltuples from pg_class where oid = 't'::regclass;
select attname, n_distinct, null_frac, most_common_freqs is not null from pg_stats where schemaname = 'same' and tablename = 't' order by attname;
analyze t (a); analyze verbose missing; set client_min_messages = error; analyze; reset client_min_messages;
vacuum t; vacuum analyze t; vacuum (verbose false, index_cleanup on) t;
reindex index t_a; reindex table t;
select count(*) from t where a = 3;
set enable_seqscan = off; select count(*) from t where a = 3; reset enable_seqscan;
begin; reindex table t; rollback;
begin; vacuum t; rollback;
create statistics t_stat (dependencies, ndistinct, mcv) on a, b from t; analyze t;
select stxname, stxkind from pg_statistic_ext where stxrelid = 't'::regclass;
alter statistics t_stat set statistics 200; drop statistics t_stat;
delete from t where id > 1000; analyze t;
select reltuples from pg_class where oid = 't'::regclass;
truncate t; analyze t; select reltuples from pg_class where oid = 't'::regclass;
insert into t values (1, null, null), (2, 5, 'x');
alter table t set (autovacuum_enabled = off); alter index t_a set (fillfactor = 80);
select reloptions from pg_class where relname in ('t', 't_a') order by relname;
alter index t_a rename to t_aa; alter index t_aa alter column 1 set statistics 100; create index t_expr on t ((a + 1)); alter index t_expr alter column 1 set statistics 100;
comment on index t_aa is 'index comment'; comment on column t.a is 'column comment'; comment on table t is 'table comment'; comment on constraint t_pkey on t is 'constraint comment';
select pg_get_indexdef('t_aa'::regclass), obj_description('t_aa'::regclass), col_description('t'::regclass, 2);
select indexname, indexdef from pg_indexes where schemaname = 'same' order by 1;
select indisunique, indisprimary, indisvalid, indisready from pg_index where indexrelid = 't_pkey'::regclass;
drop index t_expr, t_aa; drop index t_pkey; drop index missing; drop index if exists missing;
checkpoint;
create table s (id int primary key, v int) with (fillfactor = 50); select count(*) from s;
-- @next session
select reltuples from pg_class where oid = 't'::regclass; select * from t order by id;
select obj_description('t'::regclass), col_description('t'::regclass, 2);
analyze t;
-- @next session
select reltuples from pg_class where oid = 't'::regclass;
