-- SQL-callable doors of borealis_units; no part of the product.
CREATE SCHEMA units;

CREATE FUNCTION units.configure(
    map_directory text, map_size bigint, readers_max integer, is_below_horizon boolean, record_size_max bigint
) RETURNS void AS 'borealis_units', 'units_configure' LANGUAGE C STRICT;

CREATE FUNCTION units.replace_map() RETURNS void AS 'borealis_units', 'units_replace_map' LANGUAGE C STRICT;

CREATE FUNCTION units.fail_reads(count integer) RETURNS void AS 'borealis_units', 'units_fail_reads' LANGUAGE C STRICT;

CREATE FUNCTION units.write_set_run(script text) RETURNS text AS 'borealis_units', 'units_write_set_run' LANGUAGE C STRICT;

CREATE FUNCTION units.read(key bytea, ts bigint) RETURNS bytea AS 'borealis_units', 'units_read' LANGUAGE C STRICT;

CREATE FUNCTION units.exists(key bytea, ts bigint) RETURNS boolean AS 'borealis_units', 'units_exists' LANGUAGE C STRICT;

CREATE FUNCTION units.read_range(
    lower bytea, upper bytea, backward boolean, keys_only boolean, ts bigint, bytes_wanted bigint, items_wanted integer,
    OUT keys bytea[], OUT vals bytea[], OUT is_end boolean, OUT resume bytea
) AS 'borealis_units', 'units_read_range' LANGUAGE C STRICT;

CREATE FUNCTION units.scan(
    lower bytea, upper bytea, backward boolean, ts bigint, bytes_wanted bigint, items_wanted integer
) RETURNS bigint AS 'borealis_units', 'units_scan' LANGUAGE C STRICT;

CREATE FUNCTION units.prefetch(keys bytea[], ts bigint, bytes_wanted bigint) RETURNS bytea[]
AS 'borealis_units', 'units_prefetch' LANGUAGE C STRICT;

CREATE FUNCTION units.boundary(lower bytea, upper bytea, pages bigint) RETURNS bytea
AS 'borealis_units', 'units_boundary' LANGUAGE C STRICT;

CREATE FUNCTION units.count_pages(lower bytea, upper bytea) RETURNS bigint
AS 'borealis_units', 'units_count_pages' LANGUAGE C STRICT;

CREATE FUNCTION units.statistics(relfilenode oid) RETURNS bigint[] AS 'borealis_units', 'units_statistics' LANGUAGE C STRICT;

CREATE FUNCTION units.write_set_benchmark(count bigint) RETURNS text
AS 'borealis_units', 'units_write_set_benchmark' LANGUAGE C STRICT;

CREATE FUNCTION units.read_often(rows bigint, stride bigint, ts bigint, count bigint) RETURNS bigint
AS 'borealis_units', 'units_read_often' LANGUAGE C STRICT;
