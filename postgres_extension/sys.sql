-- What clients of Aurora DSQL find in every cluster, and what the front calls.  Part of the seed: run as superuser, once,
-- after the roles have been made.
--
-- Users' objects may depend on these, and the cluster's journal names both by their OIDs: so an object keeps its number
-- from one release to the next.  Each group has numbers of its own, from 16,000 to 16,383 (what lies above pg_dump takes
-- for the user's); new groups get new ones.

CREATE FUNCTION borealis.number_from(oid) RETURNS void AS 'borealis', 'borealis_number_from' LANGUAGE C STRICT;

SELECT borealis.number_from(16000);
CREATE SCHEMA sys;
GRANT USAGE ON SCHEMA sys TO PUBLIC;

-- Session state (docs/formats.md).
SELECT borealis.number_from(16010);
CREATE FUNCTION borealis.session_export() RETURNS bytea
    AS 'borealis', 'borealis_session_export' LANGUAGE C STRICT VOLATILE PARALLEL UNSAFE;
CREATE FUNCTION borealis.session_import(state bytea) RETURNS void
    AS 'borealis', 'borealis_session_import' LANGUAGE C STRICT VOLATILE PARALLEL UNSAFE;

-- Which principals may log in as which role.  Kept as security labels of the roles: rows of a catalog that every
-- instance has, that go with the role and that nobody can write but AWS IAM GRANT and REVOKE.
SELECT borealis.number_from(16020);
CREATE VIEW sys.iam_pg_role_mappings AS
    SELECT
        split_part(label.label, ' ', 1)::oid AS iam_oid,
        substr(label.provider, length('aws iam ') + 1) AS arn,
        role.oid AS pg_role_oid,
        role.rolname AS pg_role_name,
        split_part(label.label, ' ', 2)::oid AS grantor_pg_role_oid,
        grantor.rolname AS grantor_pg_role_name
    FROM pg_catalog.pg_shseclabel AS label
    JOIN pg_catalog.pg_roles AS role ON role.oid = label.objoid
    LEFT JOIN pg_catalog.pg_roles AS grantor ON grantor.oid = split_part(label.label, ' ', 2)::oid
    WHERE label.classoid = 'pg_catalog.pg_authid'::pg_catalog.regclass AND starts_with(label.provider, 'aws iam ');
GRANT SELECT ON sys.iam_pg_role_mappings TO PUBLIC;

-- All of it is one extension, of which there is no control file: so that a dump of the database leaves it out.
INSERT INTO pg_catalog.pg_extension (oid, extname, extowner, extnamespace, extrelocatable, extversion)
VALUES (16001, 'borealis', 'borealis'::regrole, 'pg_catalog'::regnamespace, false, '1');
ALTER EXTENSION borealis ADD SCHEMA borealis;
ALTER EXTENSION borealis ADD SCHEMA sys;
ALTER EXTENSION borealis ADD FUNCTION borealis.tableam_handler(internal);
ALTER EXTENSION borealis ADD ACCESS METHOD borealis;
ALTER EXTENSION borealis ADD TABLE borealis.catalog_state;
ALTER EXTENSION borealis ADD FUNCTION borealis.session_export();
ALTER EXTENSION borealis ADD FUNCTION borealis.session_import(bytea);
ALTER EXTENSION borealis ADD VIEW sys.iam_pg_role_mappings;

-- For the files that shrinking the seed makes.
SELECT borealis.number_from(15000);
DROP FUNCTION borealis.number_from(oid);
