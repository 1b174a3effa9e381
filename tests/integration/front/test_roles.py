"""Who is let in as which role: by the mappings of the cluster, at each login."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import psycopg
import pytest
from psycopg import sql

from tests.cluster import Cluster
from tests.integration.front.entrance import PRINCIPAL
from tests.integration.front.running_front import RunningFront

NUMBERS = itertools.count(1)
DENIED = "unable to accept connection, access denied"


@pytest.fixture
def role(cluster: Cluster) -> Iterator[str]:
    """A role that may log in and is mapped to nobody."""
    name = f"front_role_{next(NUMBERS)}"
    with cluster.connect() as connection:
        connection.execute(sql.SQL("CREATE ROLE {} WITH LOGIN").format(sql.Identifier(name)))
    yield name
    with cluster.connect() as connection:
        connection.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(name)))


def map_role(cluster: Cluster, role: str, *, is_granted: bool) -> None:
    verb, word = ("GRANT", "TO") if is_granted else ("REVOKE", "FROM")
    with cluster.connect() as connection:
        connection.execute(f"AWS IAM {verb} {role} {word} '{PRINCIPAL}'")  # type: ignore[arg-type]


def test_a_mapping_lets_in_and_its_end_keeps_out(front: RunningFront, cluster: Cluster, role: str) -> None:
    with pytest.raises(psycopg.OperationalError, match=DENIED) as denied:
        front.connect(role)
    assert f"User: {PRINCIPAL} is not authorized to connect as the role {role}" in str(denied.value)
    map_role(cluster, role, is_granted=True)
    with front.connect(role) as connection, front.connect() as admin:
        assert connection.execute("SELECT session_user").fetchone() == (role,)
        assert admin.execute("SELECT session_user").fetchone() == ("admin",)
        map_role(cluster, role, is_granted=False)
        with pytest.raises(psycopg.OperationalError, match=DENIED):
            front.connect(role)
        assert connection.execute("SELECT 1").fetchone() == (1,)  # who is in stays in


def test_a_role_that_may_not_log_in(front: RunningFront, cluster: Cluster, role: str) -> None:
    map_role(cluster, role, is_granted=True)
    with cluster.connect() as connection:
        connection.execute(sql.SQL("ALTER ROLE {} NOLOGIN").format(sql.Identifier(role)))
    with pytest.raises(psycopg.OperationalError, match=DENIED):
        front.connect(role)
    map_role(cluster, role, is_granted=False)


@pytest.mark.parametrize("user", ["borealis", "nobody_of_this_name", "pg_monitor"])
def test_roles_that_are_nobody_s(front: RunningFront, user: str) -> None:
    with pytest.raises(psycopg.OperationalError, match=DENIED):
        front.connect(user)


def test_another_database(front: RunningFront) -> None:
    with pytest.raises(psycopg.OperationalError, match='database "other" does not exist'):
        psycopg.connect(front.entrance.dsn().replace("dbname=postgres", "dbname=other"))
