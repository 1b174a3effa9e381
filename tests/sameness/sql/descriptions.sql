-- What psql and the information schema show of tables: \d and its relatives, constraints, definitions.
create table p (id int primary key, k text unique);
create table t (id bigint generated always as identity primary key, a int not null default 5 check (a > 0), b numeric(10, 2), c text collate "C", p_id int references p on delete cascade deferrable, g int generated always as (a * 2) stored, ar text[] default '{}');
create index t_c on t (c desc nulls last, a) include (b) where a > 10;
create unique index t_low on t (lower(c));
alter table t add constraint t_u unique nulls not distinct (a, b);
create table part (id int, d date, primary key (id, d)) partition by range (d);
create table part_a partition of part for values from ('2024-01-01') to ('2025-01-01');
create table part_d partition of part default;
create view v as select t.id, p.k from t left join p on p.id = t.p_id where t.a > 3;
create materialized view m as select count(*) from t;
create sequence sq increment 5;
create table child (extra int) inherits (p);
create function tf() returns trigger language plpgsql as 'begin return new; end';
create trigger trg before update on t for each row when (old.a is distinct from new.a) execute function tf();
alter table t enable row level security; create policy pol on t for select using (a > 1);
create rule ru as on insert to v do instead nothing;
\d p
\d t
\d part
\d part_a
\d v
\d m
\d sq
\d child
\d t_c
\d t_pkey
\di same.*
\dt same.*
\dv same.*
\ds same.*
\df same.*
\sf tf
\sv v
\dp t
select column_name, data_type, is_nullable, column_default, is_identity, is_generated from information_schema.columns where table_schema = 'same' and table_name = 't' order by ordinal_position;
select constraint_name, constraint_type from information_schema.table_constraints where table_schema = 'same' and constraint_name !~ '^\d' order by 1;
select conname, pg_get_constraintdef(oid), condeferrable from pg_constraint where connamespace = 'same'::regnamespace order by conname, pg_get_constraintdef(oid);
select pg_get_viewdef('v'::regclass, true); select pg_get_triggerdef(oid) from pg_trigger where tgname = 'trg';
select relname, relkind, relispartition, relhasindex, relhastriggers, relnatts from pg_class where relnamespace = 'same'::regnamespace and relkind <> 't' order by relname;
select 't'::regclass, 'int4'::regtype, pg_typeof(t.b) from t right join (select 1) x on true;
select tablename, hasindexes, rowsecurity from pg_tables where schemaname = 'same' order by 1;
select attname, attnum, atttypid::regtype, attnotnull, atthasdef, attidentity, attgenerated from pg_attribute where attrelid = 't'::regclass and attnum > 0 order by attnum;
-- @next session
\d t
\d v
alter table t drop column b, add column z int default 9; drop view v;
-- @next session
\d t
\dt same.*
