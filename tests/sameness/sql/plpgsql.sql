-- PL/pgSQL: exception blocks as subtransactions, loops, dynamic SQL, cursors, set-returning functions, procedures.
create table t (id int primary key, v text);
create function try_insert(i int, x text) returns text language plpgsql as $$
begin
  insert into t values (i, x);
  return 'inserted';
exception
  when unique_violation then return 'duplicate: ' || sqlerrm;
  when others then return sqlstate || ' ' || sqlerrm;
end $$;
select try_insert(1, 'a'), try_insert(1, 'b'), try_insert(null, 'c');
select * from t;
create function nested() returns void language plpgsql as $$
begin
  insert into t values (10, 'outer');
  begin
    insert into t values (11, 'inner');
    begin
      insert into t values (12, 'innermost');
      update t set v = v || '!' where id >= 10;
      raise exception 'undo innermost';
    exception when others then raise notice 'caught: %', sqlerrm;
    end;
    raise notice 'rows %', (select string_agg(id || v, ',' order by id) from t);
    insert into t values (10, 'dup');
  exception when unique_violation then raise notice 'caught: %', sqlerrm;
  end;
  raise notice 'rows %', (select string_agg(id || v, ',' order by id) from t);
end $$;
select nested();
select * from t order by id;
do $$
declare n int := 0; c int := 0;
begin
  for i in 1..200 loop
    begin
      insert into t values (100 + i % 50, 'loop ' || i);
      n := n + 1;
    exception when unique_violation then
      update t set v = v || '+' where id = 100 + i % 50;
      c := c + 1;
    end;
  end loop;
  raise notice 'inserted %, updated %', n, c;
end $$;
select count(*), count(*) filter (where v like '%+++') from t where id >= 100;
create function walk() returns setof t language plpgsql as $$
declare r record;
begin
  for r in select * from t where id < 105 order by id loop
    if r.id % 2 = 0 then continue; end if;
    r.v := upper(r.v);
    return next r;
  end loop;
  return query select id, 'q ' || v from t where id between 105 and 106 order by id;
end $$;
select * from walk();
do $$
declare c cursor (lo int) for select * from t where id >= lo order by id for update; r t;
begin
  open c(145);
  loop
    fetch c into r;
    exit when not found;
    if r.id % 2 = 0 then delete from t where current of c; else update t set v = 'current of' where current of c; end if;
  end loop;
  close c;
end $$;
select * from t where id >= 145 order by id;
do $$
declare c scroll cursor for select id from t order by id; i int;
begin
  open c;
  fetch last from c into i; raise notice 'last %', i;
  fetch prior from c into i; raise notice 'prior %', i;
  fetch absolute 2 from c into i; raise notice 'second %', i;
  move relative 3 from c; fetch relative 0 from c into i; raise notice 'fifth %', i;
  fetch first from c into i; raise notice 'first %', i;
end $$;
create function dyn(tab text) returns bigint language plpgsql as $$
declare n bigint;
begin
  execute format('create table %I (id int primary key, v text)', tab);
  execute format('insert into %I select id, v from t where id < $1', tab) using 110;
  execute format('select count(*) from %I', tab) into n;
  return n;
end $$;
select dyn('Dynamic Table');
select count(*), max(id) from "Dynamic Table";
select dyn('t');
do $$
declare x int; y text;
begin
  update t set v = 'returned' where id = 1 returning id, v into x, y;
  raise notice '% %', x, y;
  get diagnostics x = row_count;
  raise notice 'rows %', x;
  delete from t where id between 100 and 104;
  get diagnostics x = row_count;
  raise notice 'rows %, found %', x, found;
  select id into strict x from t where id > 100;
exception when too_many_rows then raise notice 'too many, and the delete is undone';
end $$;
select count(*) from t where id between 100 and 104;
create function diag() returns void language plpgsql as $$
declare m text; d text; h text; s text; k text; tn text;
begin
  insert into t values (1, 'x');
exception when others then
  get stacked diagnostics m = message_text, d = pg_exception_detail, h = pg_exception_hint, s = returned_sqlstate, k = constraint_name, tn = table_name;
  raise notice '% | % | % | % | % | %', m, d, h, s, k, tn;
  raise;
end $$;
select diag();
create function fact(n numeric) returns numeric language plpgsql as $$ begin return case when n <= 1 then 1 else n * fact(n - 1) end; end $$;
select fact(30);
create function poly(anyelement, anyarray) returns anyarray language plpgsql as $$ begin return $2 || $1; end $$;
select poly(1, array[2, 3]), poly('a'::text, array['b']);
create function outs(in a int, out b int, inout c int, variadic d int[]) language plpgsql as $$ begin b := a + array_length(d, 1); c := c * 2; end $$;
select * from outs(1, 2, 3, 4, 5);
create procedure batches(total int) language plpgsql as $$
begin
  for i in 1..total loop
    insert into t values (1000 + i, 'batch');
    if i % 3 = 0 then commit; elsif i % 3 = 1 then rollback; end if;
  end loop;
end $$;
call batches(10);
select id from t where id > 1000 order by id;
begin; call batches(3); rollback;
create procedure doubled(inout x int) language plpgsql as $$ begin x := x * 2; end $$;
call doubled(21);
create function stable_sees() returns bigint language sql stable as 'select count(*) from t where id > 2000';
create function volatile_sees() returns bigint language plpgsql volatile as $$ begin return (select count(*) from t where id > 2000); end $$;
with i as (insert into t values (2001, 'x') returning 1) select stable_sees(), volatile_sees() from i;
insert into t select 2002 + g, volatile_sees() || '/' || stable_sees() from generate_series(0, 2) g;
select * from t where id >= 2002 order by id;
create function sql_fn(int) returns table (id int, v text) language sql as 'select id, v from t where id = $1; ';
select * from sql_fn(1);
create function sql_dml(i int) returns int language sql as 'insert into t values (i, ''sql''); update t set v = v || ''!'' where id = i returning id';
select sql_dml(3000);
select * from t where id = 3000;
do $$ begin assert (select count(*) from t) < 0, 'assertion text'; end $$;
do $$ begin perform 1 / 0; exception when division_by_zero then raise warning 'zero'; end $$;
do $$ begin raise exception using errcode = 'ZX001', message = 'own', detail = 'the detail', hint = 'the hint', table = 't'; end $$;
do $$ declare a int[] := '{}'; x int; begin for i in reverse 5..1 by 2 loop a := a || i; end loop; foreach x in array a loop raise notice '%', x; end loop; end $$;
do $$ begin <<outer>> for i in 1..3 loop for j in 1..3 loop continue outer when j = 2; raise notice '% %', i, j; exit outer when i = 2; end loop; end loop; end $$;
do $$ declare r t%rowtype; begin select * into r from t where id = 1; r.v := 'changed'; update t set v = r.v where id = r.id; perform from t where id = 99999; raise notice 'found %', found; end $$;
select v from t where id = 1;
-- @next session
select try_insert(1, 'z'), try_insert(5000, 'other instance');
call batches(6);
select count(*) from t where id > 1000;
drop procedure batches(int);
drop function try_insert(int, text), walk();
select try_insert(1, 'gone');
