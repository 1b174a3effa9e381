"""What clients see of changes of IAM, and of processes that are killed."""

from __future__ import annotations

import psycopg
import pytest

from tests.cluster import StartCluster
from tests.compatibility.front_door import FrontDoor


@pytest.fixture
def own_front_door(start_cluster: StartCluster) -> FrontDoor:
    """To be killed at will."""
    return FrontDoor(start_cluster(instances=1))


def test_changes_of_iam_take_effect_on_the_next_connection(front_door: FrontDoor) -> None:
    """Over the command line, as an operator makes them."""
    front_door.command("iam", "user", "create", "ada")
    made = dict(line.split("=") for line in front_door.command("iam", "access-key", "create", "--user", "ada").split())
    key = made["AWS_ACCESS_KEY_ID"]
    token = front_door.token(front_door.first, front_door.api(key, made["AWS_SECRET_ACCESS_KEY"]))
    with pytest.raises(psycopg.OperationalError, match="access denied"):
        front_door.connect(front_door.first, token)
    front_door.command("iam", "user", "attach", "ada", "AmazonAuroraDSQLFullAccess")
    with front_door.connect(front_door.first, token) as connection:
        assert connection.execute("SELECT current_user").fetchone() == ("admin",)
        front_door.command("iam", "access-key", "deactivate", key)
        with pytest.raises(psycopg.OperationalError, match="access denied"):
            front_door.connect(front_door.first, token)
        # Who is in may go on.
        assert connection.execute("SELECT 1").fetchone() == (1,)


@pytest.mark.parametrize("name", ["relay", "front-1", "control", "instance-1", "transactions", "storage"])
def test_a_killed_process_costs_a_reconnect_at_most(own_front_door: FrontDoor, name: str) -> None:
    door = own_front_door
    door.cluster.expect_log("was terminated by signal|server process .* exited|lost|ERROR")
    with door.connect(door.first) as connection:
        connection.execute("CREATE TABLE kept (id int PRIMARY KEY)")
        connection.execute("INSERT INTO kept VALUES (1)")
    door.cluster.kill(name)
    with door.connect(door.first) as connection:
        assert connection.execute("SELECT id FROM kept").fetchall() == [(1,)]
    assert door.api().list_clusters()["clusters"]


@pytest.mark.parametrize("name", ["relay", "control"])
def test_sessions_do_not_notice_that_the_relay_or_the_api_was_lost(own_front_door: FrontDoor, name: str) -> None:
    door = own_front_door
    with door.connect(door.first) as connection:
        before = connection.info.backend_pid
        door.cluster.kill(name)
        assert connection.execute("SELECT 1").fetchone() == (1,)
        assert connection.info.backend_pid == before


def test_a_newcomer_waits_while_the_front_is_started_again(own_front_door: FrontDoor) -> None:
    door = own_front_door
    token = door.token(door.first)
    mark = door.cluster.mark()
    door.cluster.kill_only("front-1")
    with door.connect(door.first, token) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
    door.cluster.wait_back("front-1", mark)
