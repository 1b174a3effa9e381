"""Sessions that share two backends get the answers that they would get with one each."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from borealis.front import messages
from borealis.front.exchange import Exchange
from borealis.front.messages import Request, RequestReader, close_statement, message, parse_message
from borealis.front.session_state import ParameterSets
from borealis.front.settings import FrontSettings
from borealis.front.statements import SessionStatements, StatementTexts
from tests.examples import examples
from tests.unit.front.postgres_model import PostgresModel

NAMES = st.sampled_from([b"", b"a", b"b"])
TEXTS = st.sampled_from([b"select 1", b"select 2", b"begin", b"commit", b"bad", b"fail", b"", b"DEALLOCATE ALL"])
SYNC = message(messages.SYNC)
EXECUTE = message(messages.EXECUTE, b"\0\0\0\0\0")
COPY_DATA = message(messages.COPY_DATA, b"row")
COPY_END = message(messages.COPY_DONE)


def bind(name: bytes) -> bytes:
    return message(messages.BIND, b"\0" + name + b"\0" + bytes(6))


def describe(name: bytes) -> bytes:
    return message(messages.DESCRIBE, b"S" + name + b"\0")


EXTENDED = st.one_of(
    st.builds(parse_message, NAMES, TEXTS),
    st.builds(bind, NAMES),
    st.builds(describe, NAMES),
    st.builds(close_statement, NAMES),
    st.just(EXECUTE),
    # Out of place: Postgres takes no notice.
    st.sampled_from([COPY_DATA, COPY_END, message(messages.COPY_FAIL, b"\0"), message(messages.FLUSH)]),
)
COPY = st.sampled_from(
    [
        message(messages.QUERY, b"copy\0") + COPY_DATA + COPY_END,
        message(messages.QUERY, b"copy\0") + COPY_DATA + message(messages.COPY_FAIL, b"\0"),
        message(messages.QUERY, b"copy\0") + message(messages.COPY_DATA, b"wrong") + COPY_DATA + COPY_END,
        # As libpq does, which does not know that it is a COPY: its Sync is ignored.
        parse_message(b"", b"copy") + bind(b"") + EXECUTE + SYNC + COPY_DATA + COPY_END + SYNC,
    ]
)
BATCH = st.one_of(
    st.lists(EXTENDED, max_size=5).map(lambda parts: b"".join(parts) + SYNC),
    TEXTS.map(lambda text: message(messages.QUERY, text + b"\0")),
    st.sampled_from([b"a", b"b"]).map(lambda name: message(messages.QUERY, b"DEALLOCATE " + name + b"\0")),
    COPY,
)
STEPS = st.lists(st.tuples(st.integers(0, 2), BATCH, st.integers(1, 40)), max_size=12)


class FakeSession:
    def __init__(self) -> None:
        self.reader = RequestReader()
        self.statements = SessionStatements()
        self.seat: int | None = None
        self.answers = b""
        self.direct = PostgresModel()
        self.expected = b""


class House:
    """Two backends and the little that a front does around exchanges."""

    def __init__(self, front_settings: FrontSettings) -> None:
        texts, sets = StatementTexts(), ParameterSets()
        self.exchanges = [Exchange(front_settings, texts, sets) for _ in range(2)]
        self.models = [PostgresModel() for _ in range(2)]
        self.is_taken = [False, False]
        self.turn = 0

    def send(self, session: FakeSession, data: bytes) -> bool:
        """Whether there was a backend for it."""
        if session.seat is None and not self._seat(session):
            return False
        requests: list[Request] = session.reader.feed(data)
        self._exchange(session, self.exchanges[session.seat or 0].request(requests))
        return True

    def _seat(self, session: FakeSession) -> bool:
        free = [seat for seat in (self.turn, 1 - self.turn) if not self.is_taken[seat]]
        self.turn = 1 - self.turn
        if not free:
            return False
        session.seat = free[0]
        self.is_taken[session.seat] = True
        self.exchanges[session.seat].begin(session.statements, b"")
        return True

    def _exchange(self, session: FakeSession, octets: bytes) -> None:
        seat = session.seat
        assert seat is not None
        exchange = self.exchanges[seat]
        while octets:
            answer = self.models[seat].feed(octets)
            # In two pieces, wherever they part.
            middle = len(answer) // 3
            session.answers += exchange.reply(answer[:middle]) + exchange.reply(answer[middle:])
            octets = exchange.settle() if exchange.is_idle else b""
        if exchange.is_idle and not session.reader.is_within_message and not session.reader.buffered_bytes:
            exchange.end()
            session.seat = None
            if exchange.is_spent:
                self.exchanges[seat] = Exchange(exchange._settings, exchange._texts, exchange._sets)
                self.models[seat] = PostgresModel()
            self.is_taken[seat] = False


@settings(max_examples=examples(300), deadline=None)
@given(STEPS, st.integers(1, 4))
def test_sessions_get_their_own_answers(steps: list[tuple[int, bytes, int]], statements_max: int) -> None:
    house = House(replace(FrontSettings(), statements_per_backend_max=statements_max))
    sessions = [FakeSession() for _ in range(3)]
    for number, batch, piece_bytes in steps:
        session = sessions[number]
        for at in range(0, len(batch), piece_bytes):
            if not house.send(session, batch[at : at + piece_bytes]):
                assert at == 0  # it would have to wait: a batch that has begun has a backend
                break
        else:
            session.expected += session.direct.feed(batch)
            assert session.answers == session.expected
    for exchange, model in zip(house.exchanges, house.models, strict=True):
        named = [name for name in model.statements if name.startswith(b"borealis_") and name != b"borealis_void"]
        assert sorted(named) == sorted(exchange.statements)
