"""What the system catalogs of an instance say, in a form in which two instances can be compared.

Owns the list of what may differ between instances of one cluster: figures about local files and transaction ids, and
everything about temporary objects.
"""

from __future__ import annotations

from collections import Counter

from tests.cluster import Cluster, Connection
from tests.integration.waiting import wait_until

LOCAL_COLUMNS = {
    "pg_class": {
        *("relpages", "reltuples", "relallvisible", "relfrozenxid", "relminmxid"),
        # overwritten in place
        *("relhasindex", "relhasrules", "relhastriggers"),
    },
    "pg_database": {"datfrozenxid", "datminmxid"},
}
LOCAL_CATALOGS = {
    *("pg_largeobject", "pg_largeobject_metadata", "pg_replication_origin"),
    *("pg_subscription", "pg_subscription_rel"),
}

# Below are the server's own objects; from the second on, OIDs are given out by the instance itself.
USER_OID_FIRST = 16_384
LOCAL_OID_FIRST = 4_000_000_001

CATALOGS = """
SELECT
    relname,
    array_agg(attname::text ORDER BY attnum),
    array_agg(attname::text) FILTER (WHERE atttypid = 'oid'::regtype)
FROM pg_class JOIN pg_attribute ON attrelid = pg_class.oid
WHERE relnamespace = 'pg_catalog'::regnamespace AND relkind = 'r' AND attnum > 0
GROUP BY relname
"""


def row_queries(connection: Connection, *, with_built_in: bool) -> dict[str, str]:
    """For each shared catalog a query of its rows, as text; perhaps only of those that name a user's object."""
    found = {}
    for name, columns, oids in connection.execute(CATALOGS).fetchall():
        assert isinstance(name, str)
        assert isinstance(columns, list)
        assert isinstance(oids, list)
        if name in LOCAL_CATALOGS:
            continue
        shown = ", ".join(f"c.{column}" for column in columns if column not in LOCAL_COLUMNS.get(name, set()))
        shared = " AND ".join(f"c.{column} < {LOCAL_OID_FIRST}" for column in oids)
        if not with_built_in:
            shared += " AND (" + " OR ".join(f"c.{column} >= {USER_OID_FIRST}" for column in oids) + ")"
        found[name] = f"SELECT ROW({shown})::text AS line FROM pg_catalog.{name} c WHERE {shared}"
    return found


def fingerprints(connection: Connection, queries: dict[str, str]) -> dict[str, str]:
    parts = [
        f"SELECT '{name}', md5(string_agg(line, E'\\n' ORDER BY line)) FROM ({query}) AS lines"
        for name, query in queries.items()
    ]
    return {str(row[0]): str(row[1]) for row in connection.execute(" UNION ALL ".join(parts))}  # type: ignore[call-overload]


def read_rows(connection: Connection, query: str) -> Counter[str]:
    return Counter(str(row[0]) for row in connection.execute(query))  # type: ignore[call-overload]


def catalog_version(superuser: Connection) -> object:
    return superuser.execute("SELECT catalog_version FROM borealis.catalog_state").fetchone()


def compare_instances(cluster: Cluster, *, with_built_in: bool = True) -> list[str]:
    """How the catalogs of instances 1 and 2 differ, once both know of every change that has been committed."""
    with cluster.connect_superuser(1) as one, cluster.connect_superuser(2) as two:
        wait_until(lambda: catalog_version(one) == catalog_version(two), "both instances have the same catalog version")
        queries = row_queries(one, with_built_in=with_built_in)
        of_one, of_two = fingerprints(one, queries), fingerprints(two, queries)
        found = []
        for name, query in queries.items():
            if of_one[name] != of_two[name]:
                rows_of_one, rows_of_two = read_rows(one, query), read_rows(two, query)
                found += [f"{name}, only on the first: {row}" for row in rows_of_one - rows_of_two]
                found += [f"{name}, only on the second: {row}" for row in rows_of_two - rows_of_one]
        return found
