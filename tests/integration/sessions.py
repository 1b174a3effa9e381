"""What tests do with sessions that wait, fail or end."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

import psycopg
import pytest

from tests.cluster import Cluster, Connection
from tests.integration.waiting import wait_until


def in_background(action: Callable[[], object]) -> Future[object]:
    executor = ThreadPoolExecutor(1)
    try:
        return executor.submit(action)
    finally:
        executor.shutdown(wait=False)


def commit_error(connection: Connection) -> psycopg.Error:
    with pytest.raises(psycopg.Error) as caught:
        connection.commit()
    return caught.value


def wait_until_backend_waits(cluster: Cluster, connection: Connection, instance: int = 1) -> None:
    """Until its statement has found that it cannot go on."""
    query = "SELECT wait_event_type IS NOT NULL AND state = 'active' FROM pg_stat_activity WHERE pid = %s"
    with cluster.connect_superuser(instance) as superuser:

        def is_waiting() -> bool:
            row = superuser.execute(query, [connection.info.backend_pid]).fetchone()
            return row is not None and bool(row[0])

        wait_until(is_waiting, "the backend waits for the service")


def wait_until_backend_is_gone(cluster: Cluster, backend: int) -> None:
    with cluster.connect_superuser() as superuser:
        query = "SELECT FROM pg_stat_activity WHERE pid = %s"
        wait_until(lambda: superuser.execute(query, [backend]).fetchone() is None, "the backend has gone")
