-- Objects of the seed that make the access method known.  Run as superuser, once.

CREATE SCHEMA IF NOT EXISTS borealis;
GRANT USAGE ON SCHEMA borealis TO PUBLIC;
CREATE OR REPLACE FUNCTION borealis.tableam_handler(internal) RETURNS table_am_handler
    AS 'borealis', 'borealis_tableam_handler' LANGUAGE C STRICT;
CREATE ACCESS METHOD borealis TYPE TABLE HANDLER borealis.tableam_handler;

-- The versions that the local catalogs hold: one row, written by the transactions that change them.
CREATE TABLE borealis.catalog_state (catalog_version bigint NOT NULL, schema_version bigint NOT NULL) USING heap;
INSERT INTO borealis.catalog_state VALUES (0, 0);
