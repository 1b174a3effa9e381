"""The map is replaced under running sessions: restored from a snapshot and the journal, as after a power loss."""

from __future__ import annotations

import pytest

from tests.cluster import Cluster, StartCluster

ROWS = 2000


@pytest.fixture
def own_cluster(start_cluster: StartCluster) -> Cluster:
    return start_cluster(instances=2)


def replace_map(cluster: Cluster) -> None:
    """Storage starts anew, and nothing vouches for the map that it finds."""
    (cluster.directory.storage_map.parent / "map.state").unlink()
    cluster.expect_log("may be damaged by a power loss")
    cluster.kill("storage")


def test_running_sessions_go_on_with_the_new_map(own_cluster: Cluster) -> None:
    with (
        own_cluster.connect(1) as reader,
        own_cluster.connect(1, autocommit=False) as transaction,
        own_cluster.connect(2) as writer,
    ):
        writer.execute("CREATE TABLE items (id int PRIMARY KEY, word text)")
        writer.execute("INSERT INTO items SELECT n, repeat('x', 100) FROM generate_series(1, %s) n", (ROWS,))
        for session in (reader, transaction):
            assert session.execute("SELECT count(*), sum(id) FROM items").fetchone() == (ROWS, ROWS * (ROWS + 1) // 2)
        for round_ in range(1, 4):
            replace_map(own_cluster)
            writer.execute("UPDATE items SET word = %s WHERE id = 1", (f"round {round_}",))
            writer.execute("INSERT INTO items VALUES (%s, 'new')", (ROWS + round_,))
            assert reader.execute("SELECT word FROM items WHERE id = 1").fetchone() == (f"round {round_}",)
            assert reader.execute("SELECT count(*) FROM items").fetchone() == (ROWS + round_,)
            # the snapshot of the open transaction is the same, read from another file
            assert transaction.execute("SELECT word FROM items WHERE id = 1").fetchone() == ("x" * 100,)
            assert transaction.execute("SELECT count(*) FROM items").fetchone() == (ROWS,)
