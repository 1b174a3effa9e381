"""What a client sees when processes are killed, stopped or short of room, and that it is the truth."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psycopg
import pytest

from borealis.host.account import NOBODY
from borealis.host.layout import create_layout
from borealis.storage.reader_slots import ReaderSlots
from tests.cluster import Cluster, Connection, StartCluster
from tests.conftest import judge
from tests.integration.commit_proxy import CommitProxy, Fault
from tests.integration.instance_settings import change_settings
from tests.integration.ledger import Ledger, Told
from tests.integration.sessions import (
    commit_error,
    in_background,
    wait_until_backend_is_gone,
    wait_until_backend_waits,
)
from tests.integration.waiting import wait_until

COMMITS_BETWEEN_FAULTS = 20
JOURNAL_ROOM_MIB = 140


@pytest.fixture(scope="module")
def module_cluster() -> Iterator[Cluster]:
    cluster = Cluster(instances=1)
    try:
        cluster.start()
        with cluster.connect() as connection:
            connection.execute("CREATE TABLE items (key bigint PRIMARY KEY, filler text)")
        yield cluster
        cluster.stop()
    finally:
        cluster.close()


@pytest.fixture
def one_instance(module_cluster: Cluster, request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """One instance with an empty table `items`.

    A commit of an earlier test may still be under way, its outcome unknown to everybody: unlike DELETE, TRUNCATE
    changes the schema, so that it can only come before, and goes."""
    with module_cluster.connect() as connection:
        connection.execute("TRUNCATE items")
    yield module_cluster
    judge(module_cluster, request)


@pytest.fixture
def short_timeout(one_instance: Cluster) -> Iterator[None]:
    change_settings(one_instance, 1, {"borealis.commit_timeout": "1s"})
    yield
    change_settings(one_instance, 1, {"borealis.commit_timeout": "30s"})


@pytest.fixture
def short_age(one_instance: Cluster) -> Iterator[None]:
    change_settings(one_instance, 1, {"borealis.transaction_age_limit": "1s"})
    yield
    change_settings(one_instance, 1, {"borealis.transaction_age_limit": "5min"})


class Stopped:
    """A process that stands still, as on an overloaded or swapping machine."""

    def __init__(self, cluster: Cluster, name: str) -> None:
        self._process = cluster.process_id(name)

    def __enter__(self) -> None:
        os.kill(self._process, signal.SIGSTOP)

    def __exit__(self, *_: object) -> None:
        os.kill(self._process, signal.SIGCONT)


def insert(connection: Connection, key: int) -> None:
    connection.execute("INSERT INTO items VALUES (%s)", [key])


def keys(cluster: Cluster) -> list[int]:
    with cluster.connect() as connection:
        return [int(str(row[0])) for row in connection.execute("SELECT key FROM items ORDER BY key")]


# Under load


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM], ids=["killed", "restarted"])
@pytest.mark.parametrize("name", ["transactions", "storage"])
def test_service_fails_under_load(start_cluster: StartCluster, name: str, number: signal.Signals) -> None:
    """Sessions survive, and every commit has a known outcome: answers that were lost are found out."""
    cluster = start_cluster(instances=2)
    with Ledger(cluster) as ledger:
        for _ in range(3):
            ledger.wait_commits(COMMITS_BETWEEN_FAULTS)
            mark = cluster.mark()
            os.kill(cluster.process_id(name), number)
            cluster.wait_told(rf"{name} is back$", mark)
        ledger.wait_commits(COMMITS_BETWEEN_FAULTS)
    ledger.check()
    assert ledger.count(Told.UNKNOWN) == 0


def test_instance_killed_under_load(start_cluster: StartCluster) -> None:
    """Its clients lose their sessions, those of the other instance notice nothing."""
    cluster = start_cluster(instances=2)
    with Ledger(cluster) as ledger:
        for _ in range(2):
            ledger.wait_commits(COMMITS_BETWEEN_FAULTS)
            cluster.kill("instance-1")
        ledger.wait_commits(COMMITS_BETWEEN_FAULTS)
    ledger.check()


@pytest.mark.parametrize("name", ["transactions", "storage"])
def test_service_stands_still_under_load(start_cluster: StartCluster, name: str) -> None:
    cluster = start_cluster(instances=2)
    with Ledger(cluster) as ledger:
        ledger.wait_commits(COMMITS_BETWEEN_FAULTS)
        with Stopped(cluster, name), cluster.connect_superuser() as superuser:
            query = "SELECT count(*) >= 2 FROM pg_stat_activity WHERE state = 'active' AND wait_event = 'Extension'"
            wait_until(lambda: superuser.execute(query).fetchone() == (True,), "both workers wait")
        ledger.wait_commits(COMMITS_BETWEEN_FAULTS)
    ledger.check()
    assert ledger.count(Told.UNKNOWN) == 0


def test_transaction_begun_before_a_restart_is_refused(start_cluster: StartCluster) -> None:
    """The new service knows nothing of the keys that were committed since it began."""
    cluster = start_cluster(instances=1)
    with cluster.connect() as connection:
        connection.execute("CREATE TABLE items (key bigint PRIMARY KEY)")
    with cluster.connect(autocommit=False) as connection:
        insert(connection, 1)
        cluster.kill("transactions")
        error = commit_error(connection)
        assert error.sqlstate == "40001"
        assert "OC000" in str(error)
        connection.rollback()
        insert(connection, 1)
        connection.commit()
    assert keys(cluster) == [1]


@pytest.mark.parametrize("fault", [Fault.HOLD_ANSWER, Fault.HOLD_REQUEST])
def test_service_killed_at_commit(start_cluster: StartCluster, fault: Fault) -> None:
    """The backend asks the new service, which knows from the journal what the old one committed."""
    cluster = start_cluster(instances=1)
    with cluster.connect() as connection:
        connection.execute("CREATE TABLE items (key bigint PRIMARY KEY)")
    with CommitProxy(cluster.directory.run) as wire, cluster.connect(autocommit=False) as connection:
        insert(connection, 1)
        wire.plan(fault)
        committing = in_background(connection.commit)
        wire.wait_held()
        cluster.kill("transactions")
        wire.end_connections()
        if fault is Fault.HOLD_ANSWER:
            committing.result()
        else:
            assert isinstance(committing.exception(), psycopg.errors.SerializationFailure)
    assert keys(cluster) == ([1] if fault is Fault.HOLD_ANSWER else [])


# Standing still


def test_reads_go_on_while_the_transaction_service_stands_still(one_instance: Cluster) -> None:
    with one_instance.connect(autocommit=False) as connection:
        insert(connection, 1)
        with Stopped(one_instance, "transactions"):
            committing = in_background(connection.commit)
            wait_until_backend_waits(one_instance, connection)
            assert keys(one_instance) == []
        committing.result()
    assert keys(one_instance) == [1]


@pytest.mark.usefixtures("short_timeout")
def test_transaction_service_stands_still_for_too_long(one_instance: Cluster) -> None:
    """It may have taken the record: nobody knows."""
    with closing(one_instance.connect(autocommit=False)) as connection:
        insert(connection, 1)
        connection.commit()
        insert(connection, 2)
        with Stopped(one_instance, "transactions"):
            assert commit_error(connection).sqlstate == "08007"
            assert connection.broken
    assert keys(one_instance) in ([1], [1, 2])


def test_reader_waits_for_storage(one_instance: Cluster) -> None:
    """A commit that was acknowledged is seen by whoever begins after that, however late storage is."""
    with Stopped(one_instance, "storage"):
        with one_instance.connect() as connection:
            insert(connection, 1)
        with one_instance.connect() as reader:
            found: list[object] = []
            reading = in_background(lambda: found.extend(reader.execute("SELECT key FROM items").fetchall()))
            wait_until_backend_waits(one_instance, reader)
            assert not found
            os.kill(one_instance.process_id("storage"), signal.SIGCONT)
            reading.result()
    assert found == [(1,)]


def test_cancel_while_waiting_for_storage(one_instance: Cluster) -> None:
    with one_instance.connect() as reader, Stopped(one_instance, "storage"):
        with one_instance.connect() as connection:
            insert(connection, 1)
        reading = in_background(lambda: reader.execute("SELECT key FROM items") and None)
        wait_until_backend_waits(one_instance, reader)
        reader.cancel()
        assert isinstance(reading.exception(), psycopg.errors.QueryCanceled)
    assert keys(one_instance) == [1]


@pytest.mark.usefixtures("short_timeout")
def test_reader_gives_up_on_storage(one_instance: Cluster) -> None:
    with one_instance.connect() as reader, Stopped(one_instance, "storage"):
        with one_instance.connect() as connection:
            insert(connection, 1)
        with pytest.raises(psycopg.errors.CannotConnectNow, match="no progress"):
            reader.execute("SELECT key FROM items")
    assert keys(one_instance) == [1]


# Sessions that vanish


def test_client_leaves_before_commit(one_instance: Cluster) -> None:
    with closing(one_instance.connect(autocommit=False)) as connection:
        insert(connection, 1)
        backend = connection.info.backend_pid
        connection.pgconn.finish()
    wait_until_backend_is_gone(one_instance, backend)
    assert keys(one_instance) == []


def test_backend_killed_in_mid_transaction(start_cluster: StartCluster) -> None:
    """The instance restarts, as PostgreSQL does; the other one is not touched, and no reader slot stays taken."""
    cluster = start_cluster(instances=2)
    cluster.expect_log("was terminated by signal 9")
    with cluster.connect() as connection:
        connection.execute("CREATE TABLE items (key bigint PRIMARY KEY, filler text)")
    slots = ReaderSlots(cluster.directory.run)
    with closing(cluster.connect(1, autocommit=False)) as victim, cluster.connect(2, autocommit=False) as bystander:
        insert(victim, 1)
        insert(bystander, 2)
        backend = victim.info.backend_pid
        assert backend in {slot.process_id for slot in slots.occupied()}
        os.kill(backend, signal.SIGKILL)
        wait_until(lambda: backend not in {slot.process_id for slot in slots.occupied()}, "the slot is free")
        wait_until(lambda: can_connect(cluster, 1), "the instance is back")
        bystander.commit()
    assert keys(cluster) == [2]


def can_connect(cluster: Cluster, instance: int) -> bool:
    try:
        cluster.connect(instance).close()
    except psycopg.OperationalError:
        return False
    return True


# Old age

AGE_ERROR = "transaction age limit of 1s exceeded"


@pytest.mark.usefixtures("short_age")
def test_running_statement_is_cancelled_at_the_age_limit(one_instance: Cluster) -> None:
    with one_instance.connect(autocommit=False) as connection:
        insert(connection, 1)
        with pytest.raises(psycopg.errors.ProgramLimitExceeded, match=AGE_ERROR):
            connection.execute("SELECT pg_sleep(60)")
        connection.rollback()
        insert(connection, 2)
        connection.commit()
    assert keys(one_instance) == [2]


@pytest.mark.usefixtures("short_age")
def test_idle_transaction_lets_go_at_the_age_limit(one_instance: Cluster) -> None:
    """It must not hold back the collection of old versions, and must not read what may be collected."""
    slots = ReaderSlots(one_instance.directory.run)
    with one_instance.connect(autocommit=False) as connection:
        insert(connection, 1)
        backend = connection.info.backend_pid
        wait_until(lambda: backend not in {slot.process_id for slot in slots.occupied()}, "the slot is free")
        with pytest.raises(psycopg.errors.ProgramLimitExceeded, match=AGE_ERROR):
            connection.execute("SELECT key FROM items")
        connection.rollback()
        connection.execute("SELECT key FROM items")


@pytest.mark.usefixtures("short_age")
def test_old_transaction_cannot_commit(one_instance: Cluster) -> None:
    slots = ReaderSlots(one_instance.directory.run)
    with one_instance.connect(autocommit=False) as connection:
        insert(connection, 1)
        backend = connection.info.backend_pid
        wait_until(lambda: backend not in {slot.process_id for slot in slots.occupied()}, "the slot is free")
        error = commit_error(connection)
        assert error.sqlstate == "54000"
    assert keys(one_instance) == []


@pytest.mark.usefixtures("short_age")
def test_age_limit_is_not_caught_by_a_handler(one_instance: Cluster) -> None:
    with one_instance.connect() as connection, pytest.raises(psycopg.errors.ProgramLimitExceeded, match=AGE_ERROR):
        connection.execute(
            "DO $$ BEGIN PERFORM count(*) FROM items; BEGIN PERFORM pg_sleep(60);"
            " EXCEPTION WHEN others THEN RAISE NOTICE 'caught'; END; END $$"
        )


@pytest.mark.usefixtures("short_age")
def test_age_limit_survives_an_error_in_a_savepoint(one_instance: Cluster) -> None:
    """Error recovery disables the server's timers."""
    with one_instance.connect(autocommit=False) as connection:
        insert(connection, 1)
        connection.execute("SAVEPOINT before")
        with pytest.raises(psycopg.errors.DivisionByZero):
            connection.execute("SELECT 1 / 0")
        connection.execute("ROLLBACK TO before")
        connection.execute("SELECT key FROM items")
        with pytest.raises(psycopg.errors.ProgramLimitExceeded, match=AGE_ERROR):
            connection.execute("SELECT pg_sleep(60)")


# No room


@pytest.fixture
def small_journal() -> Iterator[Cluster]:
    """A cluster whose journal lies on a disk of its own that holds two segments."""
    cluster = Cluster(instances=1)
    cluster.data.mkdir(mode=0o700)
    create_layout(cluster.data)
    journal = cluster.directory.root / "journal" / "zone-1"
    journal.mkdir(parents=True)
    if not mount(journal, JOURNAL_ROOM_MIB):
        cluster.close()
        pytest.skip("mounting a small disk is not permitted here")
    try:
        for path in (cluster.data, *cluster.data.rglob("*")):
            os.chown(path, NOBODY, NOBODY)
        cluster.start()
        yield cluster
        cluster.stop()
    finally:
        cluster.close()
        subprocess.run(["umount", "--lazy", str(journal)], check=True)
        cluster.close()


def mount(target: Path, size_mib: int, *options: str) -> bool:
    choices = ",".join((f"size={size_mib}m", "mode=0700", *options))
    return subprocess.run(["mount", "-t", "tmpfs", "-o", choices, "tmpfs", str(target)], check=False).returncode == 0


def test_journal_disk_is_full(small_journal: Cluster, request: pytest.FixtureRequest) -> None:
    """53100, nothing lost, reads go on, and with room again everything goes on."""
    cluster = small_journal
    cluster.expect_log("no room for a journal segment")
    with cluster.connect() as connection:
        connection.execute("CREATE TABLE items (key bigint PRIMARY KEY, filler text)")
        connection.execute("ALTER TABLE items ALTER filler SET STORAGE EXTERNAL")
        refused = fill(connection)
        assert keys(cluster) == list(range(refused))
        assert mount(cluster.directory.root / "journal" / "zone-1", 2 * JOURNAL_ROOM_MIB, "remount")
        wait_until(lambda: has_inserted_megabyte(connection, refused), "there is room again")
    assert keys(cluster) == list(range(refused + 1))
    cluster.kill("transactions")
    cluster.kill("storage")
    assert keys(cluster) == list(range(refused + 1))
    judge(cluster, request)


def fill(connection: Connection) -> int:
    """Inserts keys from 0 on until one is refused, which it returns."""
    for key in range(4 * JOURNAL_ROOM_MIB):
        if not has_inserted_megabyte(connection, key):
            return key
    raise AssertionError("the disk was never full")


def has_inserted_megabyte(connection: Connection, key: int) -> bool:
    try:
        connection.execute("INSERT INTO items SELECT %s, repeat('x', 1000000)", [key])
    except psycopg.errors.DiskFull:
        return False
    return True
