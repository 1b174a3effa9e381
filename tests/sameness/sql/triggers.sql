-- Row and statement triggers, WHEN, UPDATE OF, transition tables, constraint triggers, changes made by triggers.
create table t (id int primary key, v int, note text);
create table log (n int generated always as identity, msg text);
create function say() returns trigger language plpgsql as $$
begin
  raise notice '% % % % old=% new=% args=%', tg_name, tg_when, tg_level, tg_op, old, new, tg_argv;
  if tg_op = 'DELETE' then return old; end if;
  return new;
end $$;
create trigger b_row before insert or update or delete on t for each row execute function say('x', 1);
create trigger a_row after insert or update or delete on t for each row execute function say();
create trigger b_stmt before insert or update or delete or truncate on t execute function say();
create trigger a_stmt after insert or update or delete or truncate on t execute function say();
create trigger a_when after update on t for each row when (old.v is distinct from new.v) execute function say('when');
create trigger a_of after update of note on t for each row execute function say('of');
insert into t values (1, 1, 'one');
insert into t values (1, 1, 'dup') on conflict (id) do update set v = 2;
insert into t values (1, 1, 'dup') on conflict do nothing;
update t set v = 3 where id = 1;
update t set note = 'n' where id = 1;
update t set v = v where id = 1;
update t set id = 10 where id = 1;
update t set v = 0 where id = 999;
delete from t where id = 10;
insert into t select 5, 5, null where false;
truncate t;
insert into t values (10, 1, 'dup');
insert into t values (10, 1, 'dup');
alter table t disable trigger all;
insert into t values (2, 2, 'quiet');
alter table t enable trigger a_stmt;
insert into t values (3, 3, 'one only');
alter table t enable trigger all;
drop trigger b_row on t; drop trigger a_row on t; drop trigger b_stmt on t; drop trigger a_stmt on t; drop trigger a_when on t; drop trigger a_of on t;
create function modify() returns trigger language plpgsql as $$
begin
  if new.v < 0 then return null; end if;
  new.note := coalesce(new.note, '') || '<' || tg_op || '>';
  new.v := new.v + 100;
  return new;
end $$;
create trigger modify before insert or update on t for each row execute function modify();
insert into t values (20, 1), (21, -1), (22, 2) returning *;
update t set v = -5 where id = 20;
update t set v = 5 where id = 20 returning *;
insert into t values (20, 7) on conflict (id) do update set v = excluded.v + 1000 returning *;
select * from t order by id;
drop trigger modify on t;
create function new_key() returns trigger language plpgsql as $$ begin new.id := new.id * 2; return new; end $$;
create trigger new_key before insert or update of id on t for each row execute function new_key();
insert into t values (11, 0, 'becomes 22');
insert into t values (15, 0, 'becomes 30') returning id;
update t set id = 16 where id = 30 returning id;
drop trigger new_key on t;
create function summary() returns trigger language plpgsql as $$
begin
  if tg_op = 'INSERT' then
    insert into log (msg) select 'ins ' || count(*) || ' ' || sum(v) from newtab;
  elsif tg_op = 'UPDATE' then
    insert into log (msg) select 'upd ' || string_agg(o.id || ':' || o.v || '>' || n.v, ',' order by o.id) from oldtab o join newtab n using (id);
  else
    insert into log (msg) select 'del ' || string_agg(id::text, ',' order by id) from oldtab;
  end if;
  return null;
end $$;
create trigger s_ins after insert on t referencing new table as newtab for each statement execute function summary();
create trigger s_upd after update on t referencing old table as oldtab new table as newtab for each statement execute function summary();
create trigger s_del after delete on t referencing old table as oldtab for each statement execute function summary();
insert into t select g, g from generate_series(40, 45) g;
update t set v = v * 2 where id between 41 and 43;
update t set v = 0 where false;
delete from t where id > 43;
insert into t values (41, 7), (46, 7) on conflict (id) do update set v = excluded.v;
with i as (insert into t values (47, 1) returning *), u as (update t set v = 99 where id = 46 returning *) select (select count(*) from i), (select count(*) from u);
select n, msg from log order by n;
create function row_with_tables() returns trigger language plpgsql as $$ begin raise notice 'row % of %', new.id, (select count(*) from nt); return null; end $$;
create trigger rt after insert on t referencing new table as nt for each row execute function row_with_tables();
insert into t values (60, 0), (61, 0);
drop trigger rt on t;
create function check_sum() returns trigger language plpgsql as $$
begin
  if (select sum(v) from acc) <> 0 then raise exception 'books do not balance: %', (select sum(v) from acc) using errcode = '23514'; end if;
  return null;
end $$;
create table acc (id int primary key, v int);
create constraint trigger balanced after insert or update or delete on acc deferrable initially deferred for each row execute function check_sum();
insert into acc values (1, 5);
begin; insert into acc values (1, 5); insert into acc values (2, -5); commit;
begin; update acc set v = v + 1 where id = 1; commit;
begin; update acc set v = v + 1 where id = 1; update acc set v = v - 1 where id = 2; commit;
begin; set constraints balanced immediate; update acc set v = 9 where id = 1; rollback;
select * from acc order by id;
create table hist (id int, old_v int, at_op text);
create function keep() returns trigger language plpgsql as $$ begin insert into hist values (old.id, old.v, tg_op); update acc set v = v where id = old.id; return null; end $$;
create trigger keep after update on acc for each row when (pg_trigger_depth() = 0) execute function keep();
begin; update acc set v = v + 1 where id = 1; update acc set v = v - 1 where id = 2; commit;
select * from hist order by id, old_v;
create table chain (id int primary key, n int);
create function chain_next() returns trigger language plpgsql as $$ begin if new.id < 5 then insert into chain values (new.id + 1, new.n * 2); end if; return null; end $$;
create trigger chain_next after insert on chain for each row execute function chain_next();
insert into chain values (1, 1);
select * from chain order by id;
create function self_update() returns trigger language plpgsql as $$ begin update chain set n = -1 where id = new.id; return new; end $$;
create trigger self_update before update on chain for each row when (new.n > 100) execute function self_update();
update chain set n = 101 where id = 3;
create function self_delete() returns trigger language plpgsql as $$ begin delete from chain where id = old.id; return old; end $$;
create trigger self_delete before delete on chain for each row when (pg_trigger_depth() = 0) execute function self_delete();
delete from chain where id = 5;
create trigger self_delete2 before delete on chain for each row when (old.id = 4) execute function self_delete();
select * from chain order by id;
create trigger bad before insert on nothing execute function say();
create trigger keep after update on acc for each row execute function keep();
alter trigger keep on acc rename to kept;
drop function keep();
drop function keep() cascade;
comment on trigger balanced on acc is 'sum is zero';
select tgname from pg_trigger where tgrelid = 'acc'::regclass and not tgisinternal order by 1;
