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
CREATE FUNCTION borealis.session_log_in(key integer, settings bytea) RETURNS void
    AS 'borealis', 'borealis_session_log_in' LANGUAGE C STRICT VOLATILE PARALLEL UNSAFE;

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

-- Jobs: security labels of the indexes and constraints that they were about (async_job.c).
SELECT borealis.number_from(16040);
CREATE PROCEDURE sys.start_job(OUT job_id text) LANGUAGE plpgsql AS $$
BEGIN
    RAISE feature_not_supported USING MESSAGE = 'sys.start_job cannot be called', HINT = 'Use CREATE INDEX ASYNC.';
END
$$;
CREATE VIEW sys.jobs AS
    SELECT
        split_part(label.label, ' ', 1) AS job_id,
        'completed'::text AS status,
        ''::text AS details,
        CASE WHEN index.oid IS NULL THEN 'VALIDATE_CONSTRAINT' ELSE 'INDEX_BUILD' END AS job_type,
        label.classoid AS class_id,
        label.objoid AS object_id,
        format('%I.%I', schema.nspname, coalesce(index.relname, its.conname)) AS object_name,
        timestamptz '2000-01-01 00:00:00 UTC'
            + split_part(label.label, ' ', 2)::bigint * interval '1 microsecond' AS start_time,
        timestamptz '2000-01-01 00:00:00 UTC'
            + split_part(label.label, ' ', 3)::bigint * interval '1 microsecond' AS update_time
    FROM pg_catalog.pg_seclabel AS label
    LEFT JOIN pg_catalog.pg_class AS index
        ON label.classoid = 'pg_catalog.pg_class'::pg_catalog.regclass AND index.oid = label.objoid
    LEFT JOIN pg_catalog.pg_constraint AS its
        ON label.classoid = 'pg_catalog.pg_constraint'::pg_catalog.regclass AND its.oid = label.objoid
    JOIN pg_catalog.pg_namespace AS schema ON schema.oid = coalesce(index.relnamespace, its.connamespace)
    WHERE label.provider = 'borealis job';
GRANT SELECT ON sys.jobs TO PUBLIC;
CREATE PROCEDURE sys.wait_for_job(job_id text, INOUT succeeded boolean DEFAULT NULL) LANGUAGE plpgsql AS $$
BEGIN
    succeeded := EXISTS (SELECT FROM sys.jobs WHERE jobs.job_id = wait_for_job.job_id);
    IF NOT succeeded THEN
        RAISE undefined_object USING MESSAGE = format('job "%s" does not exist', job_id);
    END IF;
END
$$;

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
ALTER EXTENSION borealis ADD FUNCTION borealis.session_log_in(integer, bytea);
ALTER EXTENSION borealis ADD VIEW sys.iam_pg_role_mappings;
ALTER EXTENSION borealis ADD PROCEDURE sys.start_job();
ALTER EXTENSION borealis ADD VIEW sys.jobs;
ALTER EXTENSION borealis ADD PROCEDURE sys.wait_for_job(text, boolean);

-- For the files that shrinking the seed makes.
SELECT borealis.number_from(15000);
DROP FUNCTION borealis.number_from(oid);
