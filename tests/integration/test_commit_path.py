"""The way of a COMMIT from a backend to the transaction service and back, with every frame of it lost or delayed.

What must hold: a client that is told "committed" finds its changes once; a client that is told 40001, 57014 or 57P03
never finds them; only where the service cannot be asked the answer is 08007, and the session ends.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import closing

import psycopg
import pytest
from psycopg.pq import TransactionStatus

from tests.cluster import Cluster, Connection
from tests.conftest import judge
from tests.integration.commit_proxy import COMMIT, HELLO, OUTCOME, CommitProxy, Fault
from tests.integration.instance_settings import change_settings
from tests.integration.library_server import library_with_doors
from tests.integration.sessions import (
    commit_error,
    in_background,
    wait_until_backend_is_gone,
    wait_until_backend_waits,
)
from tests.integration.waiting import wait_until

KEYS = itertools.count(1)
# INSIST_AFTER_MS of lock_conflicts.c, two rounds of its timer later.
DDL_INSISTS_AFTER_S = 4

Begin = Callable[[], tuple[Connection, int]]


@pytest.fixture(scope="module")
def own_cluster() -> Iterator[Cluster]:
    """One instance; its commit socket is this module's to play with."""
    cluster = Cluster(instances=1, extension=library_with_doors())
    try:
        cluster.start()
        with cluster.connect() as connection:
            connection.execute("CREATE TABLE items (key bigint PRIMARY KEY, filler text)")
        with cluster.connect_superuser() as connection:
            connection.execute(
                "CREATE FUNCTION fail_after_decision(kind text) RETURNS void"
                " AS 'borealis', 'borealis_test_fail_after_decision' LANGUAGE C"
            )
        yield cluster
        cluster.stop()
    finally:
        cluster.close()


@pytest.fixture
def wire(own_cluster: Cluster, request: pytest.FixtureRequest) -> Iterator[CommitProxy]:
    with CommitProxy(own_cluster.directory.run) as proxy:
        yield proxy
    judge(own_cluster, request)


@pytest.fixture
def begin(own_cluster: Cluster) -> Iterator[Begin]:
    """Opens a session with a transaction that has inserted a new key: its COMMIT is next."""
    opened: list[Connection] = []

    def open_transaction() -> tuple[Connection, int]:
        connection = own_cluster.connect(autocommit=False)
        opened.append(connection)
        key = next(KEYS)
        connection.execute("INSERT INTO items VALUES (%s, 'small')", [key])
        return connection, key

    yield open_transaction
    for connection in opened:
        connection.close()


@pytest.fixture
def short_timeout(own_cluster: Cluster) -> Iterator[None]:
    """One second, for tests that must see it pass."""
    change_settings(own_cluster, 1, {"borealis.commit_timeout": "1s"})
    yield
    change_settings(own_cluster, 1, {"borealis.commit_timeout": "30s"})


def is_stored(cluster: Cluster, key: int) -> bool:
    with cluster.connect() as connection:
        return connection.execute("SELECT key FROM items WHERE key = %s", [key]).fetchone() is not None


ANSWER_FAULTS = [Fault.LOSE_ANSWER, Fault.CUT_ANSWER, Fault.GARBLE_ANSWER]


@pytest.mark.parametrize("fault", ANSWER_FAULTS)
@pytest.mark.parametrize("outcome_faults", [[], [Fault.LOSE_REQUEST, Fault.LOSE_ANSWER, Fault.GARBLE_ANSWER]])
def test_lost_answer_is_found_out(
    own_cluster: Cluster, wire: CommitProxy, begin: Begin, fault: Fault, outcome_faults: list[Fault]
) -> None:
    """The service committed, the backend did not hear it: it asks, as often as it takes, and reports success."""
    connection, key = begin()
    wire.plan(fault)
    wire.plan(*outcome_faults, request=OUTCOME)
    connection.commit()
    assert wire.requests[OUTCOME] == 1 + len(outcome_faults)
    assert is_stored(own_cluster, key)


def test_lost_request_is_refused_for_good(own_cluster: Cluster, wire: CommitProxy, begin: Begin) -> None:
    """The service never saw the record, the backend cannot know that: asking makes it certain."""
    connection, key = begin()
    wire.plan(Fault.LOSE_REQUEST)
    assert commit_error(connection).sqlstate == "40001"
    assert wire.requests[OUTCOME] == 1
    assert not is_stored(own_cluster, key)
    connection.execute("INSERT INTO items VALUES (%s)", [key])
    connection.commit()
    assert is_stored(own_cluster, key)


def test_cut_request_is_sent_again(own_cluster: Cluster, wire: CommitProxy, begin: Begin) -> None:
    """A record that was not sent to its end cannot have been taken: no question is needed."""
    connection, key = begin()
    connection.execute("UPDATE items SET filler = repeat(md5(key::text), 100000) WHERE key = %s", [key])
    wire.plan(Fault.CUT_REQUEST)
    connection.commit()
    assert (wire.requests[COMMIT], wire.requests[OUTCOME]) == (2, 0)
    assert is_stored(own_cluster, key)


def test_one_connection_serves_many_commits(wire: CommitProxy, begin: Begin) -> None:
    connection, _ = begin()
    for _ in range(10):
        wire.plan(Fault.TRICKLE_ANSWER)
        connection.commit()
        connection.execute("INSERT INTO items VALUES (%s)", [next(KEYS)])
    assert (wire.requests[HELLO], wire.requests[COMMIT]) == (1, 10)


def test_kept_connection_that_has_gone_is_opened_again(own_cluster: Cluster, wire: CommitProxy, begin: Begin) -> None:
    connection, _ = begin()
    connection.commit()
    key = next(KEYS)
    connection.execute("INSERT INTO items VALUES (%s)", [key])
    wire.refuse_connections()
    wire.take_connections()
    connection.commit()
    assert wire.requests[OUTCOME] == 0
    assert is_stored(own_cluster, key)


@pytest.mark.usefixtures("short_timeout")
def test_outcome_that_cannot_be_asked_for_is_unknown(own_cluster: Cluster, wire: CommitProxy, begin: Begin) -> None:
    connection, key = begin()
    wire.plan(Fault.HOLD_ANSWER)
    committing = in_background(connection.commit)
    wire.wait_held()
    wire.refuse_connections()
    error = committing.exception()
    assert isinstance(error, psycopg.Error)
    assert error.sqlstate == "08007"
    assert "look whether" in (error.diag.message_hint or "")
    assert connection.info.transaction_status == TransactionStatus.UNKNOWN, "the session must end"
    assert is_stored(own_cluster, key)


@pytest.mark.usefixtures("short_timeout")
def test_silent_service_is_asked_once_more(own_cluster: Cluster, wire: CommitProxy, begin: Begin) -> None:
    """One lost answer on a connection that stays open: the question at the end of the patience settles it."""
    connection, key = begin()
    wire.plan(Fault.HOLD_ANSWER)
    connection.commit()
    assert wire.requests[OUTCOME] == 1
    assert is_stored(own_cluster, key)


def test_commit_waits_for_a_service_that_is_away(own_cluster: Cluster, wire: CommitProxy, begin: Begin) -> None:
    connection, key = begin()
    wire.refuse_connections()
    committing = in_background(connection.commit)
    wait_until_backend_waits(own_cluster, connection)
    wire.take_connections()
    committing.result()
    assert is_stored(own_cluster, key)


@pytest.mark.usefixtures("short_timeout")
def test_service_that_stays_away_is_unavailable(own_cluster: Cluster, wire: CommitProxy, begin: Begin) -> None:
    connection, key = begin()
    wire.refuse_connections()
    error = commit_error(connection)
    assert error.sqlstate == "57P03"
    assert "Nothing was committed" in (error.diag.message_hint or "")
    assert not is_stored(own_cluster, key)
    wire.take_connections()
    connection.execute("INSERT INTO items VALUES (%s)", [key])
    connection.commit()
    assert is_stored(own_cluster, key)


def test_cancel_before_the_record_is_sent(own_cluster: Cluster, wire: CommitProxy, begin: Begin) -> None:
    connection, key = begin()
    wire.refuse_connections()
    committing = in_background(connection.commit)
    wait_until_backend_waits(own_cluster, connection)
    connection.cancel()
    error = committing.exception()
    assert isinstance(error, psycopg.errors.QueryCanceled)
    wire.take_connections()
    assert not is_stored(own_cluster, key)


def test_cancel_after_the_record_is_sent_comes_too_late(own_cluster: Cluster, wire: CommitProxy, begin: Begin) -> None:
    """The decision is reported, and the cancel hits nothing else either."""
    connection, key = begin()
    wire.plan(Fault.HOLD_ANSWER)
    committing = in_background(connection.commit)
    wire.wait_held()
    connection.cancel()
    wire.release()
    committing.result()
    assert is_stored(own_cluster, key)
    connection.execute("SELECT count(*) FROM items, generate_series(1, 100)")


def test_terminated_session_still_reports_the_decision(own_cluster: Cluster, wire: CommitProxy, begin: Begin) -> None:
    connection, key = begin()
    wire.plan(Fault.HOLD_ANSWER)
    committing = in_background(connection.commit)
    wire.wait_held()
    with own_cluster.connect_superuser() as superuser:
        superuser.execute("SELECT pg_terminate_backend(%s)", [connection.info.backend_pid])
    wire.release()
    committing.result()
    assert is_stored(own_cluster, key)
    wait_until_backend_is_gone(own_cluster, connection.info.backend_pid)


def test_terminated_session_does_not_wait_for_ever(own_cluster: Cluster, wire: CommitProxy, begin: Begin) -> None:
    """Within the grace of five seconds there was no decision, and nobody to ask."""
    connection, key = begin()
    wire.plan(Fault.HOLD_ANSWER)
    committing = in_background(connection.commit)
    wire.wait_held()
    wire.refuse_connections()
    with own_cluster.connect_superuser() as superuser:
        superuser.execute("SELECT pg_terminate_backend(%s)", [connection.info.backend_pid])
    error = committing.exception()
    assert isinstance(error, psycopg.Error)
    assert error.sqlstate == "08007"
    assert is_stored(own_cluster, key)


def test_ddl_presses_for_the_table_meanwhile(own_cluster: Cluster, wire: CommitProxy, begin: Begin) -> None:
    """DDL that waits for a lock first asks its holder to give up, then insists on it. A holder that has sent its record
    does neither: it gets its decision, and the session lives on."""
    connection, key = begin()
    wire.plan(Fault.HOLD_ANSWER)
    committing = in_background(connection.commit)
    wire.wait_held()
    with own_cluster.connect() as altering, own_cluster.connect_superuser() as superuser:
        altered = in_background(lambda: altering.execute("ALTER TABLE items ADD COLUMN more int"))
        query = "SELECT FROM pg_locks WHERE clock_timestamp() - waitstart > %s * interval '1 second'"
        wait_until(lambda: superuser.execute(query, [DDL_INSISTS_AFTER_S]).fetchone() is not None, "the DDL insists")
        wire.release()
        committing.result()
        altered.result()
    connection.execute("SELECT key FROM items WHERE key = %s", [key])
    assert is_stored(own_cluster, key)


def test_client_that_leaves_during_commit(own_cluster: Cluster, wire: CommitProxy, begin: Begin) -> None:
    """COMMIT has arrived: it is carried out, whether anybody waits for the answer or not."""
    connection, key = begin()
    wire.plan(Fault.HOLD_REQUEST)
    backend = connection.info.backend_pid
    connection.pgconn.send_query(b"COMMIT")
    wire.wait_held()
    connection.pgconn.finish()
    wire.release()
    wait_until_backend_is_gone(own_cluster, backend)
    assert is_stored(own_cluster, key)


@pytest.mark.parametrize("kind", ["error", "long error"])
@pytest.mark.parametrize("log_level", ["warning", "panic"])
def test_failure_after_the_decision(own_cluster: Cluster, kind: str, log_level: str) -> None:
    """Not an ERROR, which would say "rolled back": the session ends and says that the transaction was committed."""
    key = next(KEYS)
    with closing(own_cluster.connect_superuser(autocommit=False)) as connection:
        connection.execute(f"SET log_min_messages = {log_level}")  # type: ignore[arg-type]
        connection.execute("INSERT INTO items VALUES (%s)", [key])
        connection.execute("SELECT fail_after_decision(%s)", [kind])
        diagnostics = commit_error(connection).diag
    assert (diagnostics.severity, diagnostics.sqlstate) == ("FATAL", "08007")
    assert "was committed" in (diagnostics.message_primary or "")
    assert (diagnostics.message_detail or "").startswith("The failure was: ")
    assert is_stored(own_cluster, key)


def test_failure_after_the_decision_in_a_procedure(own_cluster: Cluster) -> None:
    """A procedure's COMMIT runs inside of handlers of its own; they must not catch it."""
    key = next(KEYS)
    with own_cluster.connect_superuser() as connection:
        connection.execute(
            "CREATE OR REPLACE PROCEDURE commit_and_fail(key bigint) LANGUAGE plpgsql AS $$ BEGIN"
            " INSERT INTO items VALUES (key); PERFORM fail_after_decision('error'); COMMIT; END $$"
        )
    with closing(own_cluster.connect_superuser()) as connection, pytest.raises(psycopg.Error) as caught:
        connection.execute("CALL commit_and_fail(%s)", [key])
    assert caught.value.sqlstate == "08007"
    assert is_stored(own_cluster, key)


def test_warning_after_the_decision_is_harmless(own_cluster: Cluster) -> None:
    key = next(KEYS)
    notices: list[str | None] = []
    with own_cluster.connect_superuser(autocommit=False) as connection:
        connection.add_notice_handler(lambda diagnostics: notices.append(diagnostics.message_primary))
        connection.execute("INSERT INTO items VALUES (%s)", [key])
        connection.execute("SELECT fail_after_decision('warning')")
        connection.commit()
        with pytest.raises(psycopg.errors.DivisionByZero):
            connection.execute("SELECT 1 / 0")
    assert notices == ["simulated warning after the decision"]
    assert is_stored(own_cluster, key)


def test_read_only_transaction_needs_no_service(own_cluster: Cluster, wire: CommitProxy) -> None:
    wire.refuse_connections()
    with own_cluster.connect(autocommit=False) as connection:
        connection.execute("SELECT count(*) FROM items")
        connection.commit()
    assert wire.requests[COMMIT] == 0
