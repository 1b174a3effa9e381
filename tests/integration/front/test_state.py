"""What a session sees does not depend on the backends that serve it: the same as on a connection to Postgres."""

from __future__ import annotations

import psycopg
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.cluster import Cluster, Connection
from tests.integration.front.running_front import RunningFront

SESSIONS = 3

# Text, and whether it is prepared with a name of its own.
STATEMENTS = [
    ("SET work_mem = '2MB'", False),
    ("SET work_mem = '3MB'", False),
    ("RESET work_mem", False),
    ("SET LOCAL work_mem = '5MB'", False),
    ("SHOW work_mem", False),
    ("SET search_path = pg_catalog", False),
    ("SET DateStyle = 'German, DMY'", False),
    ("SET TimeZone = 'Asia/Tokyo'", False),
    ("SET application_name = 'another'", False),
    ("RESET application_name", False),
    ("SELECT current_setting('application_name'), current_setting('client_encoding')", True),
    ("SELECT (date '2/3/2004')::text, (timestamptz '2004-01-01 00:00+00')::text, current_setting('search_path')", True),
    (
        "SELECT (date '2/3/2004')::text, (timestamptz '2004-01-01 00:00+00')::text, current_setting('search_path')",
        False,
    ),
    ("SELECT current_setting('work_mem')", True),
    ("RESET ALL", False),
    ("DISCARD ALL", False),
    ("DEALLOCATE ALL", False),
    ("PREPARE plan AS SELECT current_setting('DateStyle')", False),
    ("EXECUTE plan", False),
    ("DEALLOCATE plan", False),
    ("SET ROLE pg_monitor", False),
    ("SET ROLE NONE", False),
    ("SELECT current_user, session_user", True),
    ("CREATE TEMPORARY TABLE mine (a int)", False),
    ("DROP TABLE mine", False),
    ("INSERT INTO mine VALUES (1)", False),
    ("SELECT count(*) FROM mine", False),
    ("DECLARE kept CURSOR WITH HOLD FOR SELECT generate_series(1, 10)", False),
    ("FETCH 3 FROM kept", False),
    ("CLOSE kept", False),
    ("BEGIN", False),
    ("COMMIT", False),
    ("ROLLBACK", False),
    ("SELECT nonsense", False),
    ("SELECT 1/0", True),
]
REPORTED = ("DateStyle", "TimeZone", "is_superuser", "application_name", "client_encoding")
STEPS = st.lists(st.tuples(st.integers(0, SESSIONS - 1), st.sampled_from(STATEMENTS)), min_size=4, max_size=25)


def ask(connection: Connection, text: str, *, is_prepared: bool) -> object:
    try:
        cursor = connection.execute(text, prepare=is_prepared)  # type: ignore[arg-type]
        rows = cursor.fetchall() if cursor.description else None
    except psycopg.Error as error:
        answer: object = (error.sqlstate, str(error))
    else:
        answer = (cursor.statusmessage, rows)
    reported = [connection.info.parameter_status(name) for name in REPORTED]
    return answer, connection.info.transaction_status, reported


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS)
def test_sessions_see_their_own_state(
    front: RunningFront, cluster: Cluster, steps: list[tuple[int, tuple[str, bool]]]
) -> None:
    through, direct = [], []
    for number in range(SESSIONS):
        # Two of them bring the same names, all of them other values.
        names = {"application_name": f"client {number}"} if number else {"client_encoding": "latin1"}
        through.append(front.connect(**names))
        direct.append(cluster.connect(**names))
    try:
        for number, (text, is_prepared) in steps:
            if has_no_backend_left(through, number):
                continue
            expected = ask(direct[number], text, is_prepared=is_prepared)
            assert ask(through[number], text, is_prepared=is_prepared) == expected, text
            pin(through[number], direct[number])
    finally:
        for connection in (*through, *direct):
            connection.close()


PINNED: set[int] = set()


def pin(through: Connection, direct: Connection) -> None:
    """Notes whether the session keeps its backend."""
    text = "SELECT pg_my_temp_schema() <> 0 OR EXISTS (SELECT FROM pg_cursors WHERE is_holdable)"
    if direct.info.transaction_status == psycopg.pq.TransactionStatus.INERROR:
        return
    is_pinned = direct.execute(text, prepare=False).fetchone() == (True,)
    (PINNED.add if is_pinned else PINNED.discard)(id(through))


def has_no_backend_left(through: list[Connection], number: int) -> bool:
    """Two backends are held by other sessions: this one would have to wait."""
    holders = [
        connection
        for connection in through
        if connection.info.transaction_status != psycopg.pq.TransactionStatus.IDLE or id(connection) in PINNED
    ]
    return len(holders) >= 2 and through[number] not in holders
