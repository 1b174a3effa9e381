-- MERGE: all actions, conditions, sources, triggers, errors.
create table target (id int primary key, v int, note text);
create table source (id int primary key, v int);
insert into target values (1, 10, 'a'), (2, 20, 'b'), (3, 30, 'c'), (4, 40, 'd');
insert into source values (2, 200), (3, -1), (4, 0), (5, 500), (6, null);
merge into target t using source s on t.id = s.id
  when matched and s.v < 0 then delete
  when matched and s.v = 0 then do nothing
  when matched then update set v = s.v, note = t.note || '*'
  when not matched and s.v is null then do nothing
  when not matched then insert values (s.id, s.v, 'new');
select * from target order by id;
merge into target t using (values (1, 'x'), (7, 'y')) s (id, n) on t.id = s.id when matched then update set id = 100, note = n when not matched then insert (id, note) values (s.id, s.n);
select * from target order by id;
merge into target t using (values (100, 1), (100, 2)) s (id, v) on t.id = s.id when matched then update set v = s.v;
merge into target t using (values (100, 1), (100, 2)) s (id, v) on t.id = s.id when matched then delete;
merge into target t using (values (900, 1), (900, 2)) s (id, v) on t.id = s.id when not matched then insert (id, v) values (s.id, s.v);
merge into target t using source s on false when not matched and s.id = 6 then insert default values;
merge into target t using source s on t.id = s.id when matched then update set id = null;
merge into target t using source s on true when matched and t.id = 100 and s.id = 2 then update set note = 'cross';
select * from target order by id;
with src as (select id * 2 id, v from source where id < 4) merge into target t using src on src.id = t.id when matched then update set v = src.v when not matched then insert values (src.id, src.v, 'cte');
select * from target order by id;
create function tr() returns trigger language plpgsql as $$ begin raise notice '% % % old % new %', tg_when, tg_level, tg_op, old, new; return coalesce(new, old); end $$;
create trigger b before insert or update or delete on target for each row execute function tr();
create trigger a after insert or update or delete on target for each row execute function tr();
create trigger bs before insert or update or delete on target for each statement execute function tr();
merge into target t using (values (2, 1)) s (id, v) on t.id = s.id when matched then update set v = 1 when not matched then insert values (s.id, 1, '');
merge into target t using (values (2, 1)) s (id, v) on t.id = s.id when matched then delete;
merge into target t using (values (2, 1)) s (id, v) on t.id = s.id when not matched then insert values (s.id, 1, 'back');
drop trigger b on target; drop trigger a on target; drop trigger bs on target;
create table pt (id int, part int, v int, primary key (id, part)) partition by list (part);
create table pt1 partition of pt for values in (1);
create table pt2 partition of pt for values in (2);
insert into pt values (1, 1, 1), (2, 2, 2);
merge into pt using (values (1, 2), (2, 1), (3, 1)) s (id, part) on pt.id = s.id when matched then update set part = s.part, v = pt.v + 10 when not matched then insert values (s.id, s.part, 0);
select tableoid::regclass, * from pt order by id;
prepare m (int, int) as merge into source s using (values ($1, $2)) x (id, v) on s.id = x.id when matched then update set v = x.v when not matched then insert values (x.id, x.v);
execute m (2, 7); execute m (77, 8);
select * from source order by id;
begin; merge into source s using target t on s.id = t.id when matched then delete; select count(*) from source; rollback;
merge into source s using source o on s.id = o.id + 1 when matched then update set v = o.v;
select * from source order by id;
create view tv as select * from target;
merge into tv using source s on tv.id = s.id when matched then delete;
