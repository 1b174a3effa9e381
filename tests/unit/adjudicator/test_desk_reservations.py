"""Reservations at the commit desk: whose transactions a schema change holds, and for how long."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from typing import Any

import pytest

from borealis.adjudicator.desk import DeskLimits
from borealis.foundation.errors import Reason
from borealis.foundation.identifiers import SchemaVersion, Timestamp, TransactionId
from borealis.wire.commit_messages import CommitFrame, Committed, Refused
from borealis.wire.transaction_record import encode_transaction
from tests.unit.adjudicator.desk_driving import MEBIBYTE, Dismissed, Make, Peer, Service, opened_services

RESERVED = Refused(Reason.SCHEMA_CONFLICT, "reserved")
LIMITS = DeskLimits(64 * MEBIBYTE, 256 * MEBIBYTE, 4, reservation_ns_max=500)

RESERVE, RESERVED_FRAME = CommitFrame.RESERVE, CommitFrame.RESERVED


@pytest.fixture
def make() -> Iterator[Make]:
    yield from opened_services()


@pytest.fixture
def service(make: Make) -> Service:
    return make(LIMITS)


def reserve(service: Service, peer: Peer, *tables: int) -> None:
    peer.post(RESERVE, struct.pack(f"<{len(tables)}I", *tables), number=9)
    service.receive()
    (frame,) = peer.frames()
    assert (frame.type, frame.request, frame.payload) == (RESERVED_FRAME, 9, b"")


def transaction(service: Service, **parts: Any) -> bytes:
    return encode_transaction(
        TransactionId(os.urandom(16)), service.core.published.acknowledged, SchemaVersion(0), **parts
    )


def key(table: int, name: bytes, namespace: int = 0x10) -> bytes:
    return bytes([namespace]) + table.to_bytes(4, "big") + name


def test_a_reserved_table_holds_who_writes_or_locks_rows_of_it_until_its_connection_ends(service: Service) -> None:
    reserver, *peers = service.connect_many(4)
    reserve(service, reserver, 7, 1, 3)
    records = [
        transaction(service, writes=[(1, key(1, b"a"), b"v")]),
        transaction(service, writes=[(1, key(2, b"a"), b"v")], locks=[(4, key(2, b"c")), (1, key(3, b"b"))]),
        transaction(service, writes=[(1, key(1, b"x", 0x20), b"v"), (1, key(8, b"a"), b"v")]),
    ]
    for peer, record in zip(peers, records, strict=True):
        peer.post(CommitFrame.COMMIT, record)
    assert service.turn() == [records[2]]
    assert (service.desk.queued, service.desk.held) == (0, 2)
    assert service.turn() == []
    reserver.close()
    service.receive()
    assert (service.desk.queued, service.desk.held) == (2, 0)
    assert service.turn() == records[:2]
    assert all(isinstance(peer.answer(), Committed) for peer in peers)


def test_what_is_queued_already_does_not_get_past(service: Service) -> None:
    reserver, writer, other = service.connect_many(3)
    writer.post(CommitFrame.COMMIT, transaction(service, writes=[(1, key(1, b"a"), b"v")]))
    other.post(CommitFrame.COMMIT, transaction(service, writes=[(1, key(2, b"a"), b"v")]))
    service.receive()
    assert service.desk.queued == 2
    reserve(service, reserver, 1)
    assert (service.desk.queued, service.desk.held) == (1, 1)
    assert len(service.turn()) == 1
    assert isinstance(other.answer(), Committed)
    assert writer.answers() == []


def test_the_reserver_and_other_schema_changes_are_not_held(service: Service) -> None:
    reserver, changer = service.connect_many(2)
    reserve(service, reserver, 1)
    own = transaction(service, writes=[(1, key(1, b"a"), b"v")])
    change = transaction(service, writes=[(1, key(1, b"b"), b"v")], catalog_entry=b"ddl")
    reserver.post(CommitFrame.COMMIT, own)
    changer.post(CommitFrame.COMMIT, change)
    assert sorted(service.turn()) == sorted([own, change])


def test_two_that_reserve_the_same_table_hold_the_rest_until_both_have_ended(service: Service) -> None:
    first, second, writer = service.connect_many(3)
    reserve(service, first, 1)
    reserve(service, second, 1)
    writer.post(CommitFrame.COMMIT, transaction(service, writes=[(1, key(1, b"a"), b"v")]))
    assert service.turn() == []
    first.close()
    assert service.turn() == []
    second.close()
    assert len(service.turn()) == 1


def test_a_new_reservation_takes_the_place_of_the_one_before(service: Service) -> None:
    reserver, writer = service.connect_many(2)
    reserve(service, reserver, 1)
    writer.post(CommitFrame.COMMIT, transaction(service, writes=[(1, key(1, b"a"), b"v")]))
    assert service.turn() == []
    reserve(service, reserver, 2)
    assert len(service.turn()) == 1


def test_being_held_is_bounded_in_time(service: Service) -> None:
    reserver, *writers = service.connect_many(3)
    reserve(service, reserver, 1)
    records = [transaction(service, writes=[(1, key(1, b"%d" % n), b"v")]) for n in range(2)]
    for writer, record, now in zip(writers, records, (2010, 2005), strict=True):
        writer.post(CommitFrame.COMMIT, record)
        service.desk.receive(Timestamp(now))
    assert service.desk.oldest_held == 2005
    assert service.desk.oldest_arrival is None
    assert service.desk.refuse(RESERVED) == 0
    assert service.desk.refuse_held(RESERVED, Timestamp(2007)) == 1
    assert service.desk.oldest_held == 2010
    assert writers[1].answer() == RESERVED
    reserver.close()
    service.receive()
    # Refused means fenced: a second copy cannot get in.
    late = service.connect()
    late.post(CommitFrame.COMMIT, records[1])
    assert service.turn() == [records[0]]
    answer = late.answer()
    assert isinstance(answer, Refused)
    assert answer.reason is Reason.FORGOTTEN


def test_a_reservation_that_is_too_old_holds_nobody(service: Service) -> None:
    reserver, writer = service.connect_many(2)
    service.now = Timestamp(2000)
    reserve(service, reserver, 1)
    writer.post(CommitFrame.COMMIT, transaction(service, writes=[(1, key(1, b"a"), b"v")]))
    service.receive()
    service.desk.release_aged(Timestamp(2499))
    assert (service.desk.queued, service.desk.held) == (0, 1)
    service.desk.release_aged(Timestamp(2500))
    assert (service.desk.queued, service.desk.held) == (1, 0)
    assert len(service.turn()) == 1


def test_who_is_held_counts_in_the_queue_and_leaves_with_its_connection(service: Service) -> None:
    reserver, *writers = service.connect_many(6)
    reserve(service, reserver, 1)
    for number, writer in enumerate(writers):
        writer.post(CommitFrame.COMMIT, transaction(service, writes=[(1, key(1, b"%d" % number), b"v")]))
        service.receive()
    assert service.desk.held == LIMITS.queued_max
    refused = writers[-1].answer()
    assert isinstance(refused, Refused)
    assert refused.reason is Reason.STORAGE_BEHIND
    writers[1].close()
    service.receive()
    assert service.desk.held == LIMITS.queued_max - 1
    reserver.close()
    assert len(service.turn()) == LIMITS.queued_max - 1


def test_held_transactions_whose_peers_go_while_they_are_refused(service: Service) -> None:
    """Closing the reserver in the middle of a round of refusals lets go of the others: no list is walked twice."""
    first, second, third = service.connect_many(3)
    reserve(service, first, 1)
    reserve(service, second, 1)
    first.post(CommitFrame.COMMIT, transaction(service, writes=[(1, key(1, b"a"), b"v")]))
    third.post(CommitFrame.COMMIT, transaction(service, writes=[(1, key(1, b"b"), b"v")]))
    service.receive()
    assert service.desk.held == 2
    first.close()  # noticed when the refusal is sent
    second.finish()
    assert service.desk.refuse_held(RESERVED, Timestamp(0)) == 0
    assert service.desk.refuse_held(RESERVED) == 2
    assert third.answer() == RESERVED
    assert service.turn() == []


@pytest.mark.parametrize("payload", [b"", b"abc", struct.pack("<II", 1, 0), bytes(4)])
def test_a_reservation_that_breaks_a_rule_ends_its_connection(service: Service, payload: bytes) -> None:
    hostile = service.connect()
    hostile.post(RESERVE, payload)
    service.receive()
    (answer,) = hostile.answers()
    assert isinstance(answer, Dismissed)
    assert answer.reason is Reason.MALFORMED


def test_a_reservation_that_is_too_long_ends_its_connection(service: Service) -> None:
    hostile = service.connect()
    hostile.post(RESERVE, struct.pack("<16385I", *range(1, 16386)))
    service.receive()
    (answer,) = hostile.answers()
    assert isinstance(answer, Dismissed)
    assert answer.reason is Reason.TOO_LARGE


def test_reserving_again_and_again_takes_no_memory(service: Service) -> None:
    reserver = service.connect()
    for _ in range(2000):
        reserve(service, reserver, *range(1, 100))
    writer = service.connect()
    writer.post(CommitFrame.COMMIT, transaction(service, writes=[(1, key(99, b"a"), b"v")]))
    assert service.turn() == []
    assert service.desk.held == 1
