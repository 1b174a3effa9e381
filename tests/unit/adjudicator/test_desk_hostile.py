"""The commit desk and peers that send anything, hang up at any time, or both."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from random import Random

import pytest

from borealis.foundation.errors import Malformed, Reason
from borealis.foundation.identifiers import (
    Timestamp,
    TransactionId,
)
from borealis.wire.commit_messages import (
    CommitFrame,
    Committed,
    OutcomeQuery,
    OutcomeUnknown,
    decode_refusal,
    decode_sequence_call,
    encode_outcome_query,
    encode_sequence_call,
)
from borealis.wire.frames import FRAME_HEADER, FRAME_HEADER_BYTES, encode_frame
from borealis.wire.transaction_record import TransactionRecord
from tests.unit.adjudicator.desk_driving import (
    BEHIND,
    GREETING,
    LEASE,
    LIMITS,
    MEBIBYTE,
    NEXT,
    Dismissed,
    Make,
    Peer,
    Service,
    opened_services,
)


@pytest.fixture
def make() -> Iterator[Make]:
    yield from opened_services()


@pytest.fixture
def service(make: Make) -> Service:
    return make()


class Expected:
    """What a connection is told, after the rules of docs/formats.md; a turn of the service follows each piece."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._buffer = b""
        self._is_greeted = False
        self.told: list[tuple[int, str]] = []
        self.is_closed = False

    def feed(self, piece: bytes) -> None:
        """To be called before the turn."""
        self._buffer += piece
        requests: list[tuple[int, bytes]] = []
        while not self.is_closed and len(self._buffer) >= FRAME_HEADER_BYTES:
            length, kind, zero, more_zero, _ = FRAME_HEADER.unpack_from(self._buffer)
            limits = {2: LIMITS.transaction_bytes_max, 3: 24, 4: 56} if self._is_greeted else {1: 8}
            if zero or more_zero:
                self._end("the reserved bytes of a frame header are not zero")
            elif kind not in limits:
                self._end(f"frame type {kind} is not known here")
            elif length > limits[kind]:
                self._end(f"a payload of {length} bytes is over the limit of {limits[kind]}")
            elif len(self._buffer) < FRAME_HEADER_BYTES + length:
                break
            else:
                payload = self._buffer[FRAME_HEADER_BYTES : FRAME_HEADER_BYTES + length]
                self._buffer = self._buffer[FRAME_HEADER_BYTES + length :]
                self._take(kind, payload, requests)
        if not self.is_closed:
            for kind, payload in requests:
                self._answer(kind, payload)

    def _take(self, kind: int, payload: bytes, requests: list[tuple[int, bytes]]) -> None:
        if kind == CommitFrame.HELLO:
            version = struct.unpack_from("<I", payload)[0] if len(payload) == 8 else None
            if version == 1:
                self._is_greeted = True
                self.told.append((CommitFrame.HELLO_OK, ""))
            elif version is None:
                self._end("a HELLO has the wrong length")
            else:
                self._end(f"protocol version {version} is not spoken here, only 1")
        elif requests:
            self._end("a second request came before the first was answered")
        elif kind == CommitFrame.COMMIT and (problem := _problem_of(payload)) is not None:
            self._end(problem)
        else:
            requests.append((kind, payload))

    def _answer(self, kind: int, payload: bytes) -> None:
        if kind == CommitFrame.SEQUENCE:
            try:
                decode_sequence_call(payload)
                self.told.append((CommitFrame.SEQUENCE_OK, ""))
            except Malformed as error:
                self._end(error.text)
        elif kind == CommitFrame.OUTCOME and len(payload) != 24:
            self._end("an OUTCOME has the wrong length")
        elif struct.unpack_from("<16xQ", payload)[0] > self._service.core.published.acknowledged:
            self._end("the read timestamp lies in the future")
        else:
            self.told.append((0, ""))  # the core's affair

    def _end(self, text: str) -> None:
        self.is_closed = True
        self.told.append((CommitFrame.ERROR, text))


def _problem_of(payload: bytes) -> str | None:
    try:
        TransactionRecord(payload)
    except Malformed as error:
        return error.text
    return None


def _hostile_pieces(random: Random, service: Service) -> Iterator[bytes]:
    frames = [bytearray(GREETING)]
    for _ in range(random.randrange(5)):
        match random.randrange(4):
            case 0:
                query = OutcomeQuery(TransactionId(random.randbytes(16)), LEASE)
                frame = encode_frame(CommitFrame.OUTCOME, 2, encode_outcome_query(query))
            case 1:
                frame = encode_frame(CommitFrame.SEQUENCE, 3, encode_sequence_call(NEXT))
            case _:
                frame = encode_frame(CommitFrame.COMMIT, 4, service.record(random.randbytes(8)))
        frames.append(bytearray(frame))
    _mutate(random, random.choice(frames))
    if random.randrange(3):
        yield from map(bytes, frames)
        return
    stream = b"".join(frames)
    while stream:
        length = random.choice((1, 7, 16, 40, 200, 1000))
        yield stream[:length]
        stream = stream[length:]


def _mutate(random: Random, stream: bytearray) -> None:
    for _ in range(random.choice((0, 0, 1, 1, 2, 5))):
        at = random.randrange(len(stream) or 1)
        match random.randrange(4):
            case 0 if stream:
                stream[at] = random.randrange(256)
            case 1 if stream:
                stream[at] ^= 1 << random.randrange(8)
            case 2:
                del stream[at : at + random.randrange(1, 40)]
            case _:
                stream[at:at] = random.randbytes(random.randrange(1, 40))


@pytest.mark.parametrize("seed", range(10))
def test_hostile_bytes_are_judged_by_the_rules_and_harm_nobody(service: Service, seed: int) -> None:
    random = Random(seed)
    witness = service.connect()
    for number in range(250):
        peer, expected = service.connect(greets=False), Expected(service)
        told: list[tuple[int, str]] = []
        for piece in _hostile_pieces(random, service):
            if not expected.is_closed:
                expected.feed(piece)
            peer.post_raw(piece)
            service.turn()
            for frame in peer.frames():
                text = decode_refusal(frame.payload).text if frame.type == CommitFrame.ERROR else ""
                told.append((frame.type, text))
        assert peer.is_closed == expected.is_closed, (seed, number)
        assert len(told) == len(expected.told), (seed, number, told, expected.told)
        for (kind, text), (expected_kind, expected_text) in zip(told, expected.told, strict=True):
            if expected_kind:
                assert kind == expected_kind, (seed, number)
            else:
                assert kind in (CommitFrame.COMMITTED, CommitFrame.REJECTED, CommitFrame.UNKNOWN), (seed, number)
            if expected_text:
                assert text == expected_text, (seed, number)
        peer.close()
        service.receive()
        assert service.desk.connections == 1
    witness.post(CommitFrame.COMMIT, service.record(b"witness"))
    service.turn()
    assert isinstance(witness.answer(), Committed)


@pytest.mark.parametrize("seed", range(4))
def test_many_peers_that_come_and_go_at_random(make: Make, seed: int) -> None:
    """Everybody who stays hears exactly one answer to each request; what is committed was sent."""
    random = Random(seed)
    service = make(LIMITS._replace(intake_bytes_max=2 * MEBIBYTE, queued_max=12))
    peers: dict[int, Peer] = {}
    owed: dict[int, int] = {}
    sent: set[bytes] = set()
    committed: list[bytes] = []
    questions = service.questions
    for step in range(1500):
        match random.randrange(10):
            case 0 if len(peers) < 20:
                peers[step] = service.connect()
                owed[step] = 0
            case 1 if peers:
                gone = random.choice(sorted(peers))
                peers.pop(gone).close()
                del owed[gone]
            case 2 | 3 | 4 | 5 if peers and not all(owed.values()):
                chosen = random.choice([each for each in sorted(peers) if not owed[each]])
                owed[chosen] = 1
                if random.randrange(4):
                    size = random.choice((10, 10, 10, 3000, 70_000, 150_000))
                    record = service.record(random.randbytes(8), bytes(size))
                    sent.add(record)
                    service.post_giant(peers[chosen], encode_frame(CommitFrame.COMMIT, 1, record))
                else:
                    query = OutcomeQuery(TransactionId(random.randbytes(16)), LEASE)
                    peers[chosen].post(CommitFrame.OUTCOME, encode_outcome_query(query))
            case 6:
                service.receive()
            case 7:
                committed += service.decide(random.choice((1, 10_000, 2**30)))
                service.receive()
                service.desk.answer()
            case 8:
                service.desk.refuse(BEHIND, Timestamp(service.now - random.randrange(3)))
            case _:
                random.shuffle(questions)
                for connection, number, _ in questions[:3]:
                    service.desk.reply(connection, number, OutcomeUnknown())
                del questions[:3]
        for each, peer in sorted(peers.items()):
            told = peer.answers()
            owed[each] -= len(told)
            assert owed[each] in (0, 1), told
            if peer.is_closed:
                assert told == [Dismissed(Reason.STORAGE_BEHIND, "too many bytes are waiting to be committed")]
                peers.pop(each).close()
                del owed[each]
    service.receive()
    for connection, number, _ in questions:
        service.desk.reply(connection, number, OutcomeUnknown())
    committed += service.decide()
    service.desk.answer()
    assert all(len(peer.answers()) == owed[each] for each, peer in peers.items())
    assert len(committed) > 100
    assert len(set(committed)) == len(committed)
    assert sent.issuperset(committed)
