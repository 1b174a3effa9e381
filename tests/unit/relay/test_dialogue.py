"""The dialogue over memory: pure, so every cut of the stream and every broken byte can be tried."""

from __future__ import annotations

import ctypes
import gc
import tracemalloc
from collections.abc import Iterable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from borealis.relay import refusals
from borealis.relay.dialogue import Claim, Dialogue, Grant, Left, LetIn, Outcome, OutOfTime, Send, TurnedAway
from borealis.relay.refusals import Refusal, encode_refusal
from borealis.relay.startup_packet import CancelRequest, Refused
from borealis.tls import ServerContext, ServerHandshake
from tests.certificates import Authority
from tests.examples import examples
from tests.unit.relay.test_startup_packet import packet
from tests.unit.tls.memory_client import HOST, MemoryClient

TLS_REQUEST = bytes.fromhex("00000008 04d2162f")
CANCEL = bytes.fromhex("00000010 04d2162e 00070001 000004d2")
STARTUP = packet("user", "admin")
PASSWORD = b"p" + (4 + 7).to_bytes(4, "big") + b"sesame\0"
GRANT = Grant("a" * 26, "arn:aws:iam::000000000000:user/x", True)


class Doorman:
    """A gate that opens for one word."""

    def __init__(self) -> None:
        self.claim: Claim | None = None
        self.reported: list[Refusal | None] = []

    def find_cluster(self, claim: Claim) -> None:
        self.claim = claim
        if not claim.server_name:
            raise Refused(refusals.NO_SERVER_NAME)

    def admit(self, token: str) -> Grant:
        if token != "sesame":
            raise Refused(refusals.ACCESS_DENIED)
        return GRANT

    def report(self, refusal: Refusal | None) -> None:
        self.reported.append(refusal)


class Conversation:
    """A dialogue under way, and what it has sent."""

    def __init__(self, context: ServerContext) -> None:
        self.gate = Doorman()
        self.dialogue = Dialogue(lambda is_direct: ServerHandshake(context, is_direct=is_direct), self.gate)
        self._talk = self.dialogue.run()
        self.outcome: Outcome | None = None
        assert next(self._talk) is None

    def hear(self, data: bytes) -> bytes:
        """What it answers. After its end nothing is heard any more."""
        return b"" if self.outcome is not None else self._go_on(lambda: self._talk.send(data))

    def run_out_of_time(self) -> bytes:
        return self._go_on(lambda: self._talk.throw(OutOfTime()))

    def _go_on(self, step) -> bytes:  # type: ignore[no-untyped-def]
        sent = b""
        try:
            effect = step()
            while effect is not None:
                assert isinstance(effect, Send)
                sent += effect.data
                effect = next(self._talk)
        except StopIteration as end:
            self.outcome = end.value
        return sent


def shake_hands(
    conversation: Conversation, client: MemoryClient, pieces: Iterable[int] = (), end: bytes = b""
) -> bytes:
    """To the end of the handshake; `end` follows in the same stream. What was not read by the client's TLS is plain."""
    lengths = iter(pieces)

    def say(data: bytes) -> bytes:
        answer = b""
        while data:
            length = next(lengths, len(data))
            answer += conversation.hear(data[:length])
            data = data[length:]
        return answer

    assert say(TLS_REQUEST) == b"S"
    finished = client.step(say(client.step()))
    stream = finished + (client.write(end) if end else b"")
    return client.read(say(stream))


def test_the_whole_way_in(context: ServerContext, authority: Authority) -> None:
    conversation, client = Conversation(context), MemoryClient(authority.certificate)
    assert shake_hands(conversation, client, end=STARTUP) == b"R\0\0\0\x08\0\0\0\x03"
    assert conversation.hear(client.write(PASSWORD)) == b""
    outcome = conversation.outcome
    assert isinstance(outcome, LetIn)
    assert (outcome.grant, outcome.claim.server_name, outcome.claim.startup.user) == (GRANT, HOST, "admin")
    assert (outcome.unread_plaintext, outcome.is_direct_tls, outcome.has_alpn) == (b"", False, False)
    assert conversation.gate.reported == []
    assert client.read(outcome.session.encrypt(b"on it goes")) == b"on it goes"


@settings(max_examples=examples(60), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(pieces=st.lists(st.integers(1, 400), max_size=60), tail=st.binary(max_size=40))
def test_however_the_stream_is_cut(
    context: ServerContext, authority: Authority, pieces: list[int], tail: bytes
) -> None:
    """Whatever arrives in one piece with what: the same way in, and what is behind the password is kept."""
    conversation, client = Conversation(context), MemoryClient(authority.certificate)
    answer = shake_hands(conversation, client, pieces, end=STARTUP + PASSWORD + tail)
    assert answer == b"R\0\0\0\x08\0\0\0\x03"
    outcome = conversation.outcome
    assert isinstance(outcome, LetIn)
    assert tail.startswith(outcome.unread_plaintext)
    assert outcome.unread_plaintext == tail


def test_a_cancel_request_needs_no_name_and_no_token(context: ServerContext, authority: Authority) -> None:
    plain = Conversation(context)
    assert plain.hear(CANCEL) == b""
    assert plain.outcome == CancelRequest(0x00070001, 1234)
    encrypted, client = Conversation(context), MemoryClient(authority.certificate)
    shake_hands(encrypted, client, end=CANCEL)
    assert encrypted.outcome == CancelRequest(0x00070001, 1234)
    assert client.read(encrypted.dialogue.goodbye()) == b""


def test_a_refusal_is_on_record_before_it_is_told(context: ServerContext, authority: Authority) -> None:
    conversation, client = Conversation(context), MemoryClient(authority.certificate)
    wrong = b"p\0\0\0\x08bad\0"
    answer = shake_hands(conversation, client, end=STARTUP + wrong)
    assert answer == b"R\0\0\0\x08\0\0\0\x03" + encode_refusal(refusals.ACCESS_DENIED)
    assert conversation.outcome == TurnedAway(refusals.ACCESS_DENIED)
    assert conversation.gate.reported == [refusals.ACCESS_DENIED]


def test_time_is_over_before_and_after_the_client_said_what_it_wants(
    context: ServerContext, authority: Authority
) -> None:
    for sent in (b"", b"\0", TLS_REQUEST, TLS_REQUEST[:5]):
        conversation = Conversation(context)
        if sent:
            conversation.hear(sent)
        assert conversation.run_out_of_time() == b""
        assert conversation.outcome == Left("closed")
    conversation, client = Conversation(context), MemoryClient(authority.certificate)
    shake_hands(conversation, client, end=STARTUP + PASSWORD[:-1])
    assert client.read(conversation.run_out_of_time()) == encode_refusal(refusals.OUT_OF_TIME)
    assert conversation.outcome == TurnedAway(refusals.OUT_OF_TIME)


def test_a_dialogue_that_is_cut_short_ends_with_a_word_where_one_can_be_said(
    context: ServerContext, authority: Authority
) -> None:
    words = encode_refusal(refusals.TOO_MANY_PENDING)
    for sent, expected in ((b"", words), (TLS_REQUEST[:5], words), (TLS_REQUEST, b"")):
        conversation = Conversation(context)
        if sent:
            conversation.hear(sent)
        assert conversation.dialogue.cut_short(refusals.TOO_MANY_PENDING) == expected
    for end in (b"", STARTUP, STARTUP + PASSWORD):
        conversation, client = Conversation(context), MemoryClient(authority.certificate)
        shake_hands(conversation, client, end=end)
        assert client.read(conversation.dialogue.cut_short(refusals.TOO_MANY_PENDING)) == words
        assert conversation.gate.reported == [refusals.TOO_MANY_PENDING]
    conversation, client = Conversation(context), MemoryClient(authority.certificate)
    shake_hands(conversation, client, end=STARTUP + PASSWORD)
    assert isinstance(conversation.outcome, LetIn)
    conversation.outcome.session.export_into(bytearray(conversation.outcome.session.export_bytes))
    assert conversation.dialogue.cut_short(refusals.TOO_MANY_PENDING) == b""  # the keys are somebody else's


def test_the_end_of_the_stream_ends_the_dialogue_anywhere(context: ServerContext, authority: Authority) -> None:
    client = MemoryClient(authority.certificate)
    hello = client.step()
    for sent in (b"", TLS_REQUEST[:3], TLS_REQUEST + b"", hello[:50]):
        conversation = Conversation(context)
        if sent:
            conversation.hear(sent)
        conversation.hear(b"")
        assert conversation.outcome == Left("closed")
    conversation = Conversation(context)
    shake_hands(conversation, client := MemoryClient(authority.certificate), end=STARTUP)
    conversation.hear(client.close())  # close_notify instead of a password
    assert conversation.outcome == Left("closed")


@settings(max_examples=examples(300), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    pieces=st.lists(st.binary(min_size=1, max_size=300) | st.sampled_from([TLS_REQUEST, STARTUP, CANCEL]), max_size=8)
)
def test_any_bytes_are_answered_or_end_the_dialogue(context: ServerContext, pieces: list[bytes]) -> None:
    conversation = Conversation(context)
    for piece in pieces:
        conversation.hear(piece)
    conversation.hear(b"")
    assert conversation.outcome is not None
    conversation.dialogue.close()


@settings(max_examples=examples(200), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_broken_byte_anywhere_lets_nobody_in(
    context: ServerContext, authority: Authority, data: st.DataObject
) -> None:
    """One byte of what the client sends is another: TLS notices, or the dialogue does, and nothing crashes."""
    conversation, client = Conversation(context), MemoryClient(authority.certificate)
    conversation.hear(TLS_REQUEST)
    hello = client.step()
    finished = client.step(conversation.hear(hello))
    stream = bytearray(finished + client.write(STARTUP + PASSWORD))
    at = data.draw(st.integers(0, len(stream) - 1))
    # The first record is ChangeCipherSpec, whose content and version TLS 1.3 ignores.
    stream[at] ^= data.draw(st.integers(1, 255))
    for start in range(0, len(stream), 61):
        conversation.hear(bytes(stream[start : start + 61]))
    conversation.hear(b"")
    assert conversation.outcome is not None
    if at >= 6:
        assert not isinstance(conversation.outcome, LetIn)
    conversation.dialogue.close()


@settings(max_examples=examples(200), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_plaintext_inside_tls_is_answered_or_ends_the_dialogue(
    context: ServerContext, authority: Authority, data: st.DataObject
) -> None:
    piece = st.binary(max_size=300) | st.sampled_from(
        [STARTUP, PASSWORD, CANCEL, TLS_REQUEST, STARTUP[:-1], b"p\xff\xff\xff\xff"]
    )
    texts = data.draw(st.lists(piece.filter(bool), min_size=1, max_size=6))
    conversation, client = Conversation(context), MemoryClient(authority.certificate)
    shake_hands(conversation, client)
    for text in texts:
        conversation.hear(client.write(text))
    conversation.hear(b"")
    assert conversation.outcome is not None
    if isinstance(conversation.outcome, LetIn):
        assert b"".join(texts).startswith(STARTUP + PASSWORD)
    conversation.dialogue.close()


def test_what_a_client_sends_without_end_is_not_kept(context: ServerContext, authority: Authority) -> None:
    """A password or a startup packet that is too long is refused when its length shows, not when memory is full."""
    conversation, client = Conversation(context), MemoryClient(authority.certificate)
    shake_hands(conversation, client, end=STARTUP)
    answer = client.read(conversation.hear(client.write(b"p" + (2**14 + 5).to_bytes(4, "big"))))
    assert answer == encode_refusal(refusals.PASSWORD_SIZE)


def test_a_thousand_broken_dialogues_leave_nothing(context: ServerContext, authority: Authority) -> None:
    hello = MemoryClient(authority.certificate).step()

    def break_off(count: int) -> None:
        for number in range(count):
            conversation = Conversation(context)
            conversation.hear(TLS_REQUEST)
            conversation.hear(hello[: number % len(hello)])
            conversation.hear(b"")
            conversation.dialogue.close()

    break_off(100)
    tracemalloc.start()
    try:
        break_off(100)
        before, _ = tracemalloc.get_traced_memory()
        break_off(1000)
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert after - before < 20_000


class HeapReport(ctypes.Structure):
    """glibc's struct mallinfo2."""

    _fields_ = tuple(
        (name, ctypes.c_size_t)
        for name in (
            *("arena", "ordblks", "smblks", "hblks", "hblkhd"),
            *("usmblks", "fsmblks", "uordblks", "fordblks", "keepcost"),
        )
    )


def heap_bytes() -> int:
    """What C code has allocated and not freed, Python's own pieces aside."""
    gc.collect()
    ask = ctypes.CDLL(None).mallinfo2
    ask.restype = HeapReport
    report = ask()
    return int(report.uordblks + report.hblkhd)


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallinfo2"), reason="asks glibc 2.33 or newer")
def test_dialogues_leave_nothing_in_the_memory_of_openssl(context: ServerContext, authority: Authority) -> None:
    """However they end: in the middle of a handshake, by an alert, with a refusal, with a session that goes on."""
    hello = MemoryClient(authority.certificate).step()

    def talk(count: int) -> None:
        for number in range(count):
            conversation, client = Conversation(context), MemoryClient(authority.certificate)
            if number % 4 < 2:
                broken = bytearray(hello)
                broken[number % len(hello)] ^= 0xFF
                conversation.hear(TLS_REQUEST)
                conversation.hear(hello if number % 4 else bytes(broken))
                conversation.hear(b"\x16\x03\x03\0\x04junk")
            else:
                shake_hands(conversation, client, end=STARTUP + (PASSWORD if number % 4 == 2 else b"p\0\0\0\x08bad\0"))
                assert conversation.outcome is not None
            conversation.hear(b"")
            conversation.dialogue.close()

    talk(400)
    before = heap_bytes()
    talk(1000)
    assert heap_bytes() - before < 20_000


@pytest.mark.parametrize("text", ["x" * 10_000, "a\0b", "ä" * 3000, "\udcff"])
def test_no_text_breaks_an_error_response(text: str) -> None:
    answer = encode_refusal(Refusal("reason", "08006", text, hint=text))
    assert int.from_bytes(answer[1:5], "big") == len(answer) - 1
    fields = answer[5:-2].split(b"\0")
    assert [field[:1] for field in fields] == [b"S", b"V", b"C", b"M", b"H"]
    assert all(0 < len(field.decode()) <= 2049 for field in fields)
