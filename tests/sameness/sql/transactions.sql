-- Transaction modes, characteristics, chained transactions, several statements in one message, two instances in turn.
create table t (id int primary key, v int);
begin read only; select count(*) from t; insert into t values (1, 1); rollback;
begin read only; create table x (id int); rollback;
start transaction isolation level repeatable read; insert into t values (1, 1); commit;
begin; set transaction read only; update t set v = 2; rollback;
begin; insert into t values (2, 2); set transaction read only; insert into t values (3, 3); rollback;
set default_transaction_read_only = on; insert into t values (4, 4); create temp table tt (id int); begin read write; insert into t values (4, 4); commit; reset default_transaction_read_only;
begin; insert into t values (5, 5); commit and chain; insert into t values (6, 6); rollback and chain; insert into t values (7, 7); commit;
select * from t order by id;
begin transaction read write, isolation level repeatable read, not deferrable; insert into t values (9, 9); abort;
insert into t values (10, 10) \; update t set v = v + 1 where id = 10 \; select v from t where id = 10;
begin \; insert into t values (11, 11) \; savepoint s \; insert into t values (11, 12);
rollback to s; select v from t where id = 11; commit;
select now() = transaction_timestamp(), statement_timestamp() >= now();
begin; select now() = now(); select pg_current_xact_id_if_assigned() is null; insert into t values (12, 12); select pg_current_xact_id_if_assigned() is not null; end;
select count(*) from t;
begin; insert into t values (13, 13);
-- @next session
select id from t order by id;
begin; update t set v = -1 where id = 1; rollback;
update t set v = 100 where id = 1;
-- @next session
select v from t where id = 1;
insert into t select g, g from generate_series(100, 110) g;
-- @next session
delete from t where id >= 105;
update t set id = id + 1000 where id >= 100;
-- @next session
select * from t order by id;
do $$ begin for i in 1..5 loop insert into t values (5000 + i, i); commit; end loop; end $$;
do $$ begin insert into t values (6000, 1); rollback; insert into t values (6001, 1); end $$;
-- @next session
select id from t where id >= 5000 order by id;
truncate t;
-- @next session
select count(*) from t;
drop table t;
-- @next session
select count(*) from t;
