"""Principals log in as the database roles that they were mapped to, and as no others."""

from __future__ import annotations

import json
from typing import Any

import psycopg
import pytest
from psycopg import errors

from tests.cluster import Connection
from tests.compatibility.front_door import Endpoint, FrontDoor

CONNECT_POLICY = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Action": "dsql:DbConnect", "Resource": "*"}],
}


@pytest.fixture
def cluster(front_door: FrontDoor) -> Endpoint:
    return front_door.create()


class Principal:
    """A user of IAM that may connect, but not as admin."""

    def __init__(self, front_door: FrontDoor, name: str) -> None:
        self.name = name
        self._front_door = front_door
        self.arn = self._iam("user", "create", name)["arn"]
        key = self._iam("access-key", "create", "--user", name)
        self._api = front_door.api(key["access_key_id"], key["secret_access_key"])
        policy = front_door.cluster.folder / f"{name}.json"
        policy.write_text(json.dumps(CONNECT_POLICY))
        self._iam("user", "put-policy", name, "connect", str(policy))

    def _iam(self, *arguments: str) -> Any:
        return json.loads(self._front_door.command("iam", *arguments, "--json"))

    def connect(self, cluster: Endpoint, role: str) -> Connection:
        token = self._api.generate_db_connect_auth_token(cluster.host, self._front_door.region)
        return self._front_door.connect(cluster, token, user=role)


def test_a_user_logs_in_as_a_role_from_grant_to_revoke(front_door: FrontDoor, cluster: Endpoint) -> None:
    web, other = Principal(front_door, "web"), Principal(front_door, "other")
    with front_door.connect(cluster) as admin:
        admin.execute("CREATE ROLE app LOGIN; CREATE TABLE mine (id int PRIMARY KEY)")
        with pytest.raises(psycopg.OperationalError, match="access denied"):
            web.connect(cluster, "app")
        admin.execute(f"AWS IAM GRANT app TO '{web.arn}'")  # type: ignore[call-overload]
        with web.connect(cluster, "app") as connection:
            assert connection.execute("SELECT current_user, session_user").fetchone() == ("app", "app")
            with pytest.raises(errors.InsufficientPrivilege):
                connection.execute("SELECT * FROM mine")
            with pytest.raises(errors.InsufficientPrivilege):
                connection.execute(f"AWS IAM GRANT app TO '{other.arn}'")  # type: ignore[call-overload]
            for principal, role in ((other, "app"), (web, "admin"), (web, "borealis"), (web, "nobody")):
                with pytest.raises(psycopg.OperationalError, match="access denied"):
                    principal.connect(cluster, role)
            admin.execute(f"AWS IAM REVOKE app FROM '{web.arn}'")  # type: ignore[call-overload]
            with pytest.raises(psycopg.OperationalError, match="access denied"):
                web.connect(cluster, "app")
            # Who is in may stay.
            assert connection.execute("SELECT 1").fetchone() == (1,)


def test_a_role_that_is_gone_takes_its_mappings_along(front_door: FrontDoor, cluster: Endpoint) -> None:
    principal = Principal(front_door, "worker")
    with front_door.connect(cluster) as admin:
        admin.execute("CREATE ROLE app LOGIN")
        admin.execute(f"AWS IAM GRANT app TO '{principal.arn}'")  # type: ignore[call-overload]
        principal.connect(cluster, "app").close()
        admin.execute("ALTER ROLE app RENAME TO renamed")
        principal.connect(cluster, "renamed").close()
        admin.execute("ALTER ROLE renamed NOLOGIN")
        with pytest.raises(psycopg.OperationalError, match="access denied"):
            principal.connect(cluster, "renamed")
        admin.execute("DROP ROLE renamed; CREATE ROLE renamed LOGIN")
        with pytest.raises(psycopg.OperationalError, match="access denied"):
            principal.connect(cluster, "renamed")
