"""The commit desk: who waits and for how long, who is refused, how much memory all together can take."""

from __future__ import annotations

import os
import resource
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from borealis.adjudicator.limits import OutcomeLimits
from borealis.foundation.errors import Reason
from borealis.foundation.identifiers import Timestamp
from borealis.wire.commit_messages import (
    CommitFrame,
    Committed,
    OutcomeUnknown,
    Refused,
)
from borealis.wire.frames import FRAME_HEADER, encode_frame
from tests.unit.adjudicator.desk_driving import (
    BEHIND,
    LIMITS,
    MEBIBYTE,
    Dismissed,
    Make,
    Service,
    opened_services,
)

SANITIZED = "asan" in os.environ.get("LD_PRELOAD", "")
measures_memory = pytest.mark.skipif(
    sys.platform != "linux" or SANITIZED, reason="reads /proc, and a sanitizer holds on to what is freed"
)


@pytest.fixture
def make() -> Iterator[Make]:
    yield from opened_services()


@pytest.fixture
def service(make: Make) -> Service:
    return make()


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def virtual_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()


# Waiting and refusing


def test_those_who_have_waited_too_long_are_refused_and_the_others_keep_their_place(service: Service) -> None:
    peers = service.connect_many(4)
    records = [service.record(b"%d" % number) for number in range(4)]
    # The clock may step backwards.
    for peer, record, now in zip(peers, records, (20, 30, 10, 40), strict=True):
        peer.post(CommitFrame.COMMIT, record)
        service.desk.receive(Timestamp(now))
    assert service.desk.oldest_arrival == 10
    assert service.desk.refuse(BEHIND, Timestamp(9)) == 0
    assert service.desk.refuse(BEHIND, Timestamp(20)) == 2
    assert service.desk.oldest_arrival == 30
    assert peers[0].answer() == peers[2].answer() == BEHIND
    assert service.decide() == [records[1], records[3]]
    assert service.desk.oldest_arrival is None
    service.desk.answer()
    assert isinstance(peers[1].answer(), Committed)


def test_the_oldest_arrival_follows_who_leaves(service: Service) -> None:
    peers = service.connect_many(3)
    for peer, now in zip(peers, (10, 30, 20), strict=True):
        peer.post(CommitFrame.COMMIT, service.record(os.urandom(8)))
        service.desk.receive(Timestamp(now))
    peers[0].close()
    service.desk.receive(Timestamp(50))
    assert service.desk.oldest_arrival == 20
    service.core.begin_group(service.now)
    assert service.desk.decide(service.core, 1) == 1
    assert service.desk.oldest_arrival == 20
    assert service.desk.decide(service.core, 1) == 1
    assert service.desk.oldest_arrival is None


def test_whoever_is_refused_undecided_is_fenced(service: Service) -> None:
    peer = service.connect()
    record = service.record()
    peer.post(CommitFrame.COMMIT, record)
    service.receive()
    assert service.desk.refuse(BEHIND) == 1
    assert peer.answer() == BEHIND
    peer.post(CommitFrame.COMMIT, record)
    assert service.turn() == []
    refusal = peer.answer()
    assert isinstance(refusal, Refused)
    assert refusal.reason is Reason.FORGOTTEN


def test_where_nobody_can_be_fenced_nothing_is_promised(make: Make) -> None:
    service = make(outcomes=OutcomeLimits(fences_max=1))
    peers = service.connect_many(2)
    for peer in peers:
        peer.post(CommitFrame.COMMIT, service.record())
    service.receive()
    assert service.desk.refuse(BEHIND) == 2
    assert [peer.answer() for peer in peers] == [BEHIND, OutcomeUnknown()]


def test_the_queue_is_bounded_by_number(make: Make) -> None:
    service = make(LIMITS._replace(queued_max=2))
    peers = service.connect_many(3)
    records = [service.record(b"%d" % number) for number in range(3)]
    for peer, record in zip(peers, records, strict=True):
        peer.post(CommitFrame.COMMIT, record)
    assert service.turn() == records[:2]
    refusal = peers[2].answer()
    assert isinstance(refusal, Refused)
    assert refusal.reason is Reason.STORAGE_BEHIND
    peers[2].post(CommitFrame.COMMIT, records[2])
    assert service.turn() == []  # fenced
    peers[2].answers()
    peers[2].post(CommitFrame.COMMIT, service.record(b"new"))
    assert len(service.turn()) == 1


# Memory


def test_bytes_on_their_way_in_are_bounded_over_all_connections(make: Make) -> None:
    service = make(LIMITS._replace(intake_bytes_max=4 * MEBIBYTE))
    peers = service.connect_many(6)
    for peer in peers:
        service.post_giant(peer, FRAME_HEADER.pack(2 * MEBIBYTE, CommitFrame.COMMIT, 0, 0, 1) + bytes(MEBIBYTE - 16))
    too_many = Dismissed(Reason.STORAGE_BEHIND, "too many bytes are waiting to be committed")
    assert [peer.answers() for peer in peers] == [[]] * 4 + [[too_many]] * 2
    small = service.connect()
    small.post(CommitFrame.COMMIT, service.record(value=bytes(60_000)))
    service.turn()
    assert isinstance(small.answer(), Committed)
    # What is held by a connection goes with it.
    peers[0].close()
    service.receive()
    again = service.connect()
    service.post_giant(again, FRAME_HEADER.pack(2 * MEBIBYTE, CommitFrame.COMMIT, 0, 0, 1) + bytes(MEBIBYTE - 16))
    assert again.answers() == []


def test_large_transactions_count_until_they_are_decided(make: Make) -> None:
    service = make(LIMITS._replace(intake_bytes_max=3 * MEBIBYTE))
    for _ in range(3):
        peers = service.connect_many(3)
        for number, peer in enumerate(peers):
            service.post_giant(
                peer, encode_frame(CommitFrame.COMMIT, 1, service.record(b"%d" % number, bytes(MEBIBYTE)))
            )
        assert service.desk.queued == 2
        assert len(service.turn()) == 2
        answers = [peer.answer() for peer in peers]
        assert [type(answer) for answer in answers] == [Committed, Committed, Dismissed]


@measures_memory
def test_announced_lengths_take_no_memory(service: Service) -> None:
    peers = service.connect_many(400)
    resident, virtual = resident_bytes(), virtual_bytes()
    for peer in peers:
        peer.post_raw(FRAME_HEADER.pack(64 * MEBIBYTE, CommitFrame.COMMIT, 0, 0, 1) + bytes(3000))
    service.receive()
    assert resident_bytes() - resident < 8 * MEBIBYTE
    assert virtual_bytes() - virtual < 64 * MEBIBYTE


@measures_memory
@pytest.mark.parametrize("is_whole", [True, False])
def test_a_giant_leaves_no_memory_behind(service: Service, is_whole: bool) -> None:
    peers = service.connect_many(3)
    before = resident_bytes()
    frame = encode_frame(CommitFrame.COMMIT, 1, service.record(value=bytes(50 * MEBIBYTE)))
    for peer in peers:
        service.post_giant(peer, frame if is_whole else frame[:-1])
    assert resident_bytes() - before > 3 * 50 * MEBIBYTE
    if is_whole:
        assert service.desk.refuse(BEHIND) == 3
    else:
        for peer in peers:
            peer.close()
        service.receive()
    del frame
    assert resident_bytes() - before < 40 * MEBIBYTE


def test_one_connection_is_read_in_turns(service: Service) -> None:
    peer = service.connect(buffer_bytes=2**20)
    sent = peer.post_some(FRAME_HEADER.pack(8 * MEBIBYTE, CommitFrame.COMMIT, 0, 0, 1) + bytes(MEBIBYTE))
    if sent <= 2**18:
        pytest.skip("the system does not let a socket hold so much")
    for _ in range((sent - 1) // 2**18):
        service.desk.receive(service.now)
        assert service.is_readable
    service.desk.receive(service.now)
    assert not service.is_readable


def test_a_copy_of_what_has_committed_is_not_called_refused(service: Service) -> None:
    first, second = service.connect_many(2)
    record = service.record()
    first.post(CommitFrame.COMMIT, record)
    service.turn()
    committed = first.answer()
    assert isinstance(committed, Committed)
    second.post(CommitFrame.COMMIT, record)
    service.receive()
    assert service.desk.refuse(BEHIND) == 1
    assert second.answer() == committed
