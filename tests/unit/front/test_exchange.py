"""What random batches rarely meet: stray answers, statements under several states, limits, ends of backends."""

from __future__ import annotations

from dataclasses import replace

import pytest

from borealis.front import messages
from borealis.front.exchange import Exchange
from borealis.front.messages import ProtocolViolation, Request, RequestReader, message, parameter_status, parse_message
from borealis.front.session_state import ParameterSets
from borealis.front.settings import FrontSettings
from borealis.front.statements import SessionStatements, StatementTexts
from tests.unit.front.postgres_model import COPY_IN_RESPONSE, error

SYNC = message(messages.SYNC)
READY = messages.ready_for_query(messages.IDLE)
DONE = message(messages.COMMAND_COMPLETE, b"COPY 1\0")


def requests(*octets: bytes) -> list[Request]:
    return RequestReader().feed(b"".join(octets))


def bind(name: bytes) -> bytes:
    return message(messages.BIND, b"\0" + name + b"\0" + bytes(6))


@pytest.fixture
def exchange() -> Exchange:
    return Exchange(FrontSettings(), StatementTexts(), ParameterSets())


def test_a_backend_at_rest_may_report_and_complain(exchange: Exchange) -> None:
    told = parameter_status(b"TimeZone", b"UTC") + message(ord("N"), b"SNOTICE\0\0")
    assert exchange.reply(told) == told
    assert exchange.parameters.values == {b"TimeZone": b"UTC"}
    assert exchange.is_idle


def test_its_state_is_not_told_to_the_client(exchange: Exchange) -> None:
    exchange.request(requests(messages.query("set a to b")))
    status = parameter_status(b"borealis.session_state", b"1.0 pinned")
    assert exchange.reply(DONE + status + READY) == DONE + READY
    assert exchange.state_report == b"1.0 pinned"


def test_an_answer_that_nobody_asked_for_is_a_violation(exchange: Exchange) -> None:
    with pytest.raises(ProtocolViolation):
        exchange.reply(READY)
    exchange.request(requests(bind(b""), SYNC))
    with pytest.raises(ProtocolViolation):
        exchange.reply(message(messages.PARSE_COMPLETE))


def test_flush_without_sync_keeps_the_backend(exchange: Exchange) -> None:
    exchange.request(requests(parse_message(b"", b"select 1"), message(messages.FLUSH)))
    exchange.reply(message(messages.PARSE_COMPLETE))
    assert not exchange.is_idle
    exchange.request(requests(SYNC))
    assert not exchange.is_idle
    exchange.reply(READY)
    assert exchange.is_idle


def test_half_an_answer_is_not_the_end(exchange: Exchange) -> None:
    exchange.request(requests(messages.query("select")))
    row = message(messages.DATA_ROW, bytes(100))
    assert exchange.reply(row[:50]) == row[:50]
    assert exchange.is_within_reply
    assert exchange.reply(row[50:] + DONE[:3]) == row[50:]
    assert exchange.reply(DONE[3:] + READY) == DONE + READY
    assert exchange.is_idle


def test_row_that_ends_like_a_ready_for_query_is_a_row(exchange: Exchange) -> None:
    exchange.request(requests(messages.query("select")))
    exchange.reply(message(messages.DATA_ROW, READY))
    assert not exchange.is_idle


def test_an_ignored_sync_that_is_answered_after_all(exchange: Exchange) -> None:
    """COPY FROM was announced, then a trigger failed before the Sync behind it was read: that one is answered."""
    exchange.request(requests(parse_message(b"", b"copy"), bind(b""), message(messages.EXECUTE, b"\0\0\0\0\0"), SYNC))
    exchange.reply(message(messages.PARSE_COMPLETE) + message(messages.BIND_COMPLETE) + COPY_IN_RESPONSE)
    # The client, who has seen the answer to COPY, sends its data and another Sync.
    exchange.request(requests(message(messages.COPY_DATA, b"x"), message(messages.COPY_DONE), SYNC))
    assert exchange.reply(error("P0001") + READY) == error("P0001") + READY
    question = exchange.settle()
    assert question == messages.query("")
    assert not exchange.is_idle
    # What comes before the answer to our question is the client's.
    answer = message(messages.EMPTY_QUERY) + READY
    assert exchange.reply(READY + answer) == READY
    assert exchange.is_idle
    assert exchange.settle() == b""


def test_a_statement_is_prepared_anew_under_another_state(exchange: Exchange) -> None:
    """Text that reads a date by DateStyle must not be shared by sessions that read dates differently."""
    one, other = SessionStatements(), SessionStatements()
    names = []
    for session, state in ((one, b"x"), (other, b"y")):
        exchange.begin(session, state)
        sent = requests(exchange.request(requests(parse_message(b"s", b"select date '1/2/3'"), SYNC)))
        names.append(sent[0][1].split(b"\0")[3])
        exchange.reply(message(messages.PARSE_COMPLETE) + READY)
    assert len(set(exchange.statements)) == 2
    exchange.begin(one, b"x")
    assert len(requests(exchange.request(requests(bind(b"s"), SYNC)))) == 2
    exchange.reply(message(messages.BIND_COMPLETE) + READY)
    exchange.begin(one, b"y")
    assert len(requests(exchange.request(requests(bind(b"s"), SYNC)))) == 2
    exchange.reply(message(messages.BIND_COMPLETE) + READY)
    exchange.begin(one, b"z")
    injected = requests(exchange.request(requests(bind(b"s"), SYNC)))
    assert [kind for kind, _ in injected] == [messages.PARSE, messages.BIND, messages.SYNC]


def test_a_changed_setting_changes_the_meaning(exchange: Exchange) -> None:
    session = SessionStatements()
    exchange.begin(session, b"")
    exchange.request(requests(parse_message(b"s", b"select 1"), SYNC))
    exchange.reply(message(messages.PARSE_COMPLETE) + READY)
    exchange.note_parameter(b"DateStyle", b"German")
    sent = requests(exchange.request(requests(bind(b"s"), SYNC)))
    assert [kind for kind, _ in sent] == [messages.PARSE, messages.BIND, messages.SYNC]


def test_sessions_that_prepare_too_much_keep_their_backend() -> None:
    settings = replace(FrontSettings(), statements_per_session_max=2)
    exchange, session = Exchange(settings, StatementTexts(), ParameterSets()), SessionStatements()
    exchange.begin(session, b"")
    for name in (b"a", b"b"):
        exchange.request(requests(parse_message(name, b"select " + name)))
    assert not exchange.has_private_statements
    parse = parse_message(b"c", b"select c")
    assert exchange.request(requests(parse)) == parse
    assert exchange.has_private_statements
    assert exchange.request(requests(bind(b"c"))) == bind(b"c")


def test_the_end_of_a_backend_is_noticed(exchange: Exchange) -> None:
    exchange.reply(messages.error_response("FATAL", "57P01", "terminating connection"))
    assert exchange.is_fatal


def test_what_nobody_has_read_can_be_asked_elsewhere(exchange: Exchange) -> None:
    """The session is as it was; another backend gets the same requests and prepares what it needs."""
    session = SessionStatements()
    exchange.begin(session, b"")
    exchange.request(requests(parse_message(b"kept", b"select 1"), parse_message(b"", b"select 2"), SYNC))
    exchange.reply(message(messages.PARSE_COMPLETE) * 2 + READY)
    kept, unnamed = session.get(b"kept"), session.unnamed
    close = message(messages.CLOSE, b"Skept\0")
    asked = requests(close, parse_message(b"new", b"select 3"), parse_message(b"", b"select 4"), bind(b"new"), SYNC)
    exchange.begin(session, b"")
    exchange.request(asked)
    assert session.get(b"kept") is None
    assert exchange.take_back()
    assert session.get(b"kept") is kept
    assert session.get(b"new") is None
    assert session.unnamed is unnamed
    another = Exchange(FrontSettings(), StatementTexts(), ParameterSets())
    another.begin(session, b"")
    assert b"select 3" in another.request(asked)
    assert session.get(b"new") is not None


def test_a_simple_query_can_be_taken_back(exchange: Exchange) -> None:
    session = SessionStatements()
    exchange.begin(session, b"")
    exchange.request(requests(parse_message(b"", b"select 2"), SYNC))
    exchange.reply(message(messages.PARSE_COMPLETE) + READY)
    unnamed = session.unnamed
    exchange.begin(session, b"")
    exchange.request(requests(messages.query("select 5")))
    assert session.unnamed is None
    assert exchange.take_back()
    assert session.unnamed is unnamed


def test_a_deallocate_cannot_be_taken_back(exchange: Exchange) -> None:
    session = SessionStatements()
    exchange.begin(session, b"")
    exchange.request(requests(parse_message(b"kept", b"select 1"), SYNC))
    exchange.reply(message(messages.PARSE_COMPLETE) + READY)
    exchange.begin(session, b"")
    exchange.request(requests(messages.query("deallocate kept")))
    assert not exchange.take_back()


@pytest.mark.parametrize(
    ("leftover", "is_certain"),
    [
        (SYNC, True),
        (message(messages.FLUSH), False),
        (message(messages.COPY_DATA, b"x"), False),
        (message(messages.COPY_FAIL, b"x\0"), False),
    ],
)
def test_what_postgres_would_ignore_may_be_unread(exchange: Exchange, leftover: bytes, is_certain: bool) -> None:
    """Then nobody can tell how much of what comes behind it was read."""
    session = SessionStatements()
    exchange.begin(session, b"")
    assert exchange.began_with_nothing_unread
    exchange.request(requests(messages.query("select 5"), leftover))
    exchange.begin(session, b"")
    assert exchange.began_with_nothing_unread == is_certain
