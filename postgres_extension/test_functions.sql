-- SQL-callable functions that the tests use; no part of the product's interface.
-- :library is the path of borealis.so without its suffix (psql variable).
CREATE SCHEMA borealis_test;

-- The key encoding of a value by a btree operator class, NULL for the type's default one.
CREATE FUNCTION borealis_test.encode_key(
    value anyelement, descending boolean DEFAULT false, nulls_first boolean DEFAULT false, opclass text DEFAULT NULL
) RETURNS bytea AS :'library', 'borealis_test_encode_key' LANGUAGE C STABLE;
