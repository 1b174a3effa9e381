-- SQL-callable functions that the tests use; no part of the product's interface.
-- The folder of borealis.so must be in dynamic_library_path.
CREATE SCHEMA borealis_test;

-- The key encoding of a value by a btree operator class, NULL for the type's default one.
CREATE FUNCTION borealis_test.encode_key(
    value anyelement, descending boolean DEFAULT false, nulls_first boolean DEFAULT false, opclass text DEFAULT NULL
) RETURNS bytea AS 'borealis', 'borealis_test_encode_key' LANGUAGE C STABLE;

-- Why a column of the value's type cannot be a key, NULL if it can.
CREATE FUNCTION borealis_test.key_refusal(value anyelement, opclass text DEFAULT NULL) RETURNS text
AS 'borealis', 'borealis_test_key_refusal' LANGUAGE C STABLE;

-- Where a comparison value of another type lies among the values of the column's type ('unknown', 'below all', 'equal',
-- 'above'), and the encoding of the value that it is converted to.
CREATE FUNCTION borealis_test.convert_comparand(column_value anyelement, comparand "any", OUT place text, OUT key bytea)
AS 'borealis', 'borealis_test_convert_comparand' LANGUAGE C STABLE;

-- Fails if the ALTER TYPE statement would reorder values that are in keys; does not run it.
CREATE FUNCTION borealis_test.check_alter_type(statement text) RETURNS void
AS 'borealis', 'borealis_test_check_alter_type' LANGUAGE C STRICT;

-- A row's stored form.
CREATE FUNCTION borealis_test.row_encode(row_value record) RETURNS bytea
AS 'borealis', 'borealis_test_row_encode' LANGUAGE C STRICT STABLE;

-- The row of a stored form; the second argument only says its type.
CREATE FUNCTION borealis_test.row_decode(stored bytea, row_type anyelement) RETURNS anyelement
AS 'borealis', 'borealis_test_row_decode' LANGUAGE C STABLE;

-- Of the decoded tuple: number of attributes, t_infomask, t_hoff, t_len.
CREATE FUNCTION borealis_test.row_decode_header(stored bytea) RETURNS integer[]
AS 'borealis', 'borealis_test_row_decode_header' LANGUAGE C STRICT STABLE;
