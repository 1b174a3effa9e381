"""How sessions end: by their deadline, with their front, with their backend; and who notices nothing."""

from __future__ import annotations

import os
import signal
import threading
from contextlib import suppress

import psycopg
import pytest
from psycopg.pq import TransactionStatus

from borealis.front import messages
from borealis.front.messages import query
from tests.cluster import Cluster, Connection, StartCluster
from tests.integration.front.raw_client import RawClient
from tests.integration.front.running_front import RunningFront, StartFront, find_postgres_socket
from tests.integration.waiting import wait_until


def test_a_session_ends_at_its_deadline_without_a_word(start_front: StartFront) -> None:
    front = start_front()
    front.entrance.session_s = 0.5
    with RawClient(front.entrance.port) as client:
        assert client.read_message() == (b"", b"")


def test_a_transaction_gets_more_time(start_front: StartFront) -> None:
    front = start_front(grace_ns=3600 * 10**9)
    front.entrance.session_s = 0.2
    with RawClient(front.entrance.port) as client:
        client.send(query("BEGIN"))
        client.read_until(b"Z")
        client.send(query("SELECT pg_sleep(1)"))
        assert client.read_until(b"Z")[-1] == (b"Z", b"T")
        client.send(query("COMMIT"))
        assert client.read_until(b"Z")[-1] == (b"Z", b"I")
        assert client.read_message() == (b"", b"")


def test_a_transaction_does_not_get_more_than_the_grace(start_front: StartFront) -> None:
    front = start_front(grace_ns=10**8)
    front.entrance.session_s = 0.1
    with RawClient(front.entrance.port) as client:
        client.send(query("BEGIN"))
        client.read_until(b"Z")
        assert client.read_message() == (b"", b"")


def test_a_front_that_is_asked_to_stop_lets_transactions_end(front: RunningFront) -> None:
    idle, busy = RawClient(front.entrance.port), RawClient(front.entrance.port)
    busy.send(query("BEGIN"))
    busy.read_until(b"Z")
    front.terminate()
    kind, body = idle.read_message()
    assert kind == b"E"
    assert b"C57P01\0Mterminating connection due to administrator command\0" in body
    assert idle.read_message() == (b"", b"")
    busy.send(query("COMMIT"))
    assert busy.read_until(b"Z")[-1] == (b"Z", b"I")
    assert busy.read_message()[0] == b"E"
    idle.close()
    busy.close()
    assert front.wait_ended() == 0


def test_a_killed_front_takes_only_its_sessions_with_it(front: RunningFront, cluster: Cluster) -> None:
    connection, direct = front.connect(), cluster.connect()
    front.kill()
    with pytest.raises(psycopg.OperationalError):
        connection.execute("SELECT 1")
    assert front.socket.exists()  # it had no time to clean up
    front.start()
    with front.connect() as again:
        assert again.execute("SELECT 1").fetchone() == (1,)
    assert direct.execute("SELECT 1").fetchone() == (1,)
    direct.close()


TERMINATE = b"X\0\0\0\4"


@pytest.mark.parametrize("is_one_piece", [True, False])
def test_who_says_goodbye_behind_its_questions_still_gets_the_answers(front: RunningFront, is_one_piece: bool) -> None:
    questions = [query("BEGIN"), query("SELECT pg_sleep(0.2)"), query("SELECT repeat('x', 100000)"), query("COMMIT")]
    pieces = [*questions, TERMINATE]
    with RawClient(front.entrance.port) as client:
        for piece in [b"".join(pieces)] if is_one_piece else pieces:
            client.send(piece)
        kinds = b"".join(kind for kind, _ in client.read_to_end())
    assert kinds == b"CZ" + b"TDCZ" * 2 + b"CZ"


def test_who_says_goodbye_by_the_end_of_the_stream_still_gets_the_answers(front: RunningFront) -> None:
    """TLS's own good-bye, which like that of TCP is about one direction."""
    with RawClient(front.entrance.port) as client:
        client.send(query("SELECT pg_sleep(0.2)"))
        client.say_nothing_more()
        kinds = b"".join(kind for kind, _ in client.read_to_end())
    assert kinds == b"TDCZ"


def test_who_says_goodbye_within_a_question_gets_no_answer(front: RunningFront) -> None:
    """Nor is anything left of it: nothing would end the batch."""
    with RawClient(front.entrance.port) as client:
        client.send(messages.parse_message(b"", b"SELECT 1") + TERMINATE)
        assert client.read_to_end() == []
    front.wait_said("sessions 0")


def test_who_says_goodbye_and_does_not_listen_is_served_to_the_end(front: RunningFront) -> None:
    with front.connect() as witness:
        witness.execute("CREATE TABLE parting (id int PRIMARY KEY)")
        client = RawClient(front.entrance.port)
        client.send(
            query("SELECT repeat('x', 10000000)") + query("INSERT INTO parting SELECT 1 FROM pg_sleep(0.2)") + TERMINATE
        )
        client.close()
        wait_until(
            lambda: witness.execute("SELECT count(*) FROM parting").fetchone() == (1,), "the last question is answered"
        )
        witness.execute("DROP TABLE parting")


@pytest.fixture
def lonely_front(start_cluster: StartCluster) -> tuple[RunningFront, Cluster]:
    """On a cluster whose backends may be killed."""
    cluster = start_cluster(instances=1)
    cluster.expect_log(
        r"was terminated by signal 9|terminating any other active server processes|server process .* exited"
    )
    return RunningFront(find_postgres_socket(cluster), backends_target=2, backends_max=2), cluster


def ask_until_lost(connection: Connection) -> None:
    """Until its backend has been told by Postgres that another one was killed."""
    with suppress(psycopg.OperationalError), connection:
        while True:
            connection.execute("SELECT 1")


def test_a_killed_backend(lonely_front: tuple[RunningFront, Cluster]) -> None:
    """Idle sessions live on with their state; who waited is told that the outcome is unknown, who was in a transaction
    that it is over."""
    front, cluster = lonely_front
    try:
        idle, open_transaction, active = front.connect(), front.connect(autocommit=False), front.connect()
        idle.execute("SET work_mem = '7MB'")
        open_transaction.execute("SELECT 1")
        failed: list[psycopg.Error] = []

        def sleep() -> None:
            try:
                active.execute("SELECT pg_sleep(600)")
            except psycopg.Error as error:
                failed.append(error)

        thread = threading.Thread(target=sleep)
        thread.start()
        text = "SELECT pid FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(600)' AND state = 'active'"
        found = None
        with cluster.connect_superuser() as witness:
            while found is None:
                found = witness.execute(text).fetchone()
        os.kill(int(found[0]), signal.SIGKILL)  # type: ignore[call-overload]
        thread.join()
        assert failed[0].sqlstate == "08007"
        ask_until_lost(open_transaction)
        assert idle.execute("SHOW work_mem").fetchone() == ("7MB",)
        assert idle.info.transaction_status == TransactionStatus.IDLE
        idle.close()
        active.close()
    finally:
        front.close()


def backend_of(connection: Connection) -> int:
    row = connection.execute("SELECT pg_backend_pid()").fetchone()
    assert row is not None
    return int(row[0])  # type: ignore[call-overload]


def ask_a_stopped_backend(front: RunningFront, connection: Connection, text: str) -> int:
    """The process of the backend that was given to the session, with the request that it cannot read any more."""
    process = backend_of(connection)
    os.kill(process, signal.SIGSTOP)
    connection.pgconn.send_query(text.encode())
    connection.pgconn.flush()
    # The front serves in order: once another client is greeted, the request has been passed on.
    RawClient(front.entrance.port).close()
    return process


def result_of(connection: Connection) -> str | None:
    """Of what was sent, as text."""
    result = connection.pgconn.get_result()
    assert result is not None
    more = connection.pgconn.get_result()
    assert more is None, more.error_message
    value = result.get_value(0, 0)
    return value.decode() if value is not None else result.error_message.decode()


INSERT_ONCE = """
WITH one AS (INSERT INTO once VALUES (1) RETURNING id) SELECT current_setting('work_mem') FROM one"""


def test_a_backend_that_is_killed_when_it_is_given_away(start_cluster: StartCluster) -> None:
    """It had read nothing of the session, which goes on in another one and never hears of it."""
    cluster = start_cluster(instances=1)
    cluster.expect_log(r"was terminated by signal 9|terminating any other active server processes|process .* exited")
    front = RunningFront(find_postgres_socket(cluster), backends_target=1, backends_max=1)
    try:
        with front.connect() as connection:
            connection.execute("CREATE TABLE once (id int)")
            connection.execute("SET work_mem = '7MB'")
            process = ask_a_stopped_backend(front, connection, INSERT_ONCE)
            os.kill(process, signal.SIGKILL)
            assert result_of(connection) == "7MB"
            assert connection.execute("SELECT count(*) FROM once").fetchone() == (1,)
            assert backend_of(connection) != process
        assert front.problems() == []
    finally:
        front.close()


def test_a_backend_that_was_terminated_before_the_front_has_noticed(start_cluster: StartCluster) -> None:
    """Both are news to the front at the same moment: the request, and that the backend it would go to is gone."""
    cluster = start_cluster(instances=1)
    front = RunningFront(find_postgres_socket(cluster), backends_target=1, backends_max=1)
    try:
        with front.connect() as connection, cluster.connect_superuser() as witness:
            connection.execute("CREATE TABLE once (id int)")
            connection.execute("SET work_mem = '7MB'")
            process = backend_of(connection)
            os.kill(front.process_id, signal.SIGSTOP)
            connection.pgconn.send_query(INSERT_ONCE.encode())
            connection.pgconn.flush()
            assert witness.execute("SELECT pg_terminate_backend(%s, 60000)", [process]).fetchone() == (True,)
            os.kill(front.process_id, signal.SIGCONT)
            assert result_of(connection) == "7MB"
            assert connection.execute("SELECT count(*) FROM once").fetchone() == (1,)
        assert front.problems() == []
    finally:
        front.close()


def test_a_session_waits_for_an_instance_that_restarts(lonely_front: tuple[RunningFront, Cluster]) -> None:
    front, cluster = lonely_front
    try:
        with front.connect() as connection:
            cluster.kill("instance-1")
            assert connection.execute("SELECT 1").fetchone() == (1,)
    finally:
        front.close()
