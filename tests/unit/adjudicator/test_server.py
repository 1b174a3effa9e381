"""The transaction service as a process: sockets, signals, files, hostile peers."""

from __future__ import annotations

import os
import resource
import signal
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

import pytest

from borealis.foundation.errors import Reason
from borealis.foundation.identifiers import Position, Relfilenode, SchemaVersion, Timestamp, TransactionId
from borealis.foundation.pages import TRANSACTIONS_MAGIC, SharedPage, TransactionsWord
from borealis.journal.segments import SEGMENT_HEADER_BYTES, parse_segment_name, segment_name
from borealis.wire.commit_messages import (
    CommitFrame,
    Committed,
    Hello,
    OutcomeQuery,
    Reserved,
    SequenceCall,
    SequenceGrant,
    SequenceOperation,
    decode_answer,
    encode_hello,
    encode_outcome_query,
    encode_reservation,
    encode_sequence_call,
)
from borealis.wire.frames import FRAME_HEADER, encode_frame
from borealis.wire.journal_batch import RecordKind
from borealis.wire.journal_messages import JournalFrame, decode_position
from borealis.wire.transaction_record import TransactionRecord, encode_transaction
from tests.integration.waiting import wait_until
from tests.unit.adjudicator.running_service import Client, FollowingClient, RunningService, refused

Start = Callable[..., RunningService]
NEXT = SequenceCall(Relfilenode(7), SequenceOperation.NEXT, False, False, False, 1, 1, 1, 10**6, 1, 3)


@pytest.fixture
def start() -> Iterator[Start]:
    services: list[RunningService] = []

    def start_one(*arguments: str) -> RunningService:
        services.append(RunningService(*arguments))
        return services[-1].start()

    yield start_one
    for service in services:
        service.destroy()


@pytest.fixture(scope="module")
def shared_service() -> Iterator[RunningService]:
    service = RunningService()
    try:
        yield service.start()
    finally:
        service.destroy()


@pytest.fixture
def service(shared_service: RunningService) -> Iterator[RunningService]:
    """For tests that nobody notices later: shared by them."""
    yield shared_service
    shared_service.disconnect()


def committed(answer: object) -> Committed:
    assert isinstance(answer, Committed), answer
    return answer


def test_commits_conflicts_outcomes_and_sequences(start: Start) -> None:
    service = start()
    client, other = Client(service), Client(service)
    began = service.acknowledged
    assert began == client.greeting.lease_start
    record = client.record(b"a")
    answer = committed(client.ask(CommitFrame.COMMIT, record))
    assert service.acknowledged == answer.timestamp > began
    assert refused(other.commit(b"a", read=began)).reason is Reason.DATA_CONFLICT
    committed(other.commit(b"a", operation=2))
    query = OutcomeQuery(TransactionRecord(record).transaction_id, began)
    assert other.ask(CommitFrame.OUTCOME, encode_outcome_query(query)) == answer
    assert client.ask(CommitFrame.SEQUENCE, encode_sequence_call(NEXT)) == SequenceGrant(1, 3, True)
    assert other.ask(CommitFrame.SEQUENCE, encode_sequence_call(NEXT)) == SequenceGrant(4, 3, True)


def test_a_killed_service_knows_everything_it_acknowledged(start: Start) -> None:
    service = start()
    client = Client(service)
    record = client.record(b"a")
    answer = committed(client.ask(CommitFrame.COMMIT, record))
    client.ask(CommitFrame.SEQUENCE, encode_sequence_call(NEXT))
    began = service.acknowledged
    for _ in range(3):
        service.kill()
        service.start()
        client = Client(service)
        query = OutcomeQuery(TransactionRecord(record).transaction_id, Timestamp(answer.timestamp - 1))
        assert client.ask(CommitFrame.OUTCOME, encode_outcome_query(query)) == answer
        assert refused(client.commit(b"b", read=began)).reason is Reason.FORGOTTEN
        committed(client.commit(b"b"))
    grant = client.ask(CommitFrame.SEQUENCE, encode_sequence_call(NEXT))
    assert isinstance(grant, SequenceGrant)
    assert grant.first > 3


def test_a_service_that_is_told_to_stop_stops_cleanly(start: Start) -> None:
    service = start()
    client = Client(service)
    committed(client.commit(b"a"))
    assert service.terminate() == 0
    assert client.await_frame() is None
    service.start()
    committed(Client(service).commit(b"b"))


def test_a_second_service_on_the_same_data_refuses_to_start(start: Start) -> None:
    service = start()
    intruder = service.launch()
    out, _ = intruder.communicate(timeout=60)
    assert intruder.returncode == 1
    assert out == ""
    assert "in use" in service.log.read_text()
    committed(Client(service).commit(b"a"))


def test_a_journal_that_lacks_acknowledged_commits_is_not_served(start: Start) -> None:
    service = start()
    service.kill()
    with SharedPage.own(service.run / "transactions.page", TRANSACTIONS_MAGIC) as page:
        page.store(TransactionsWord.ACKNOWLEDGED, page.load(TransactionsWord.ACKNOWLEDGED) + 1)
    process = service.launch()
    process.communicate(timeout=60)
    assert process.returncode == 1
    assert "commits are missing" in service.log.read_text()


# Hostile peers


def test_garbage_costs_its_sender_the_connection_and_nobody_else_anything(service: RunningService) -> None:
    witness = Client(service)
    random = Random(7)
    sound = witness.record(b"x")
    for number in range(150):
        hostile = Client(service, greets=number % 3 != 0)
        data = bytearray(encode_frame(random.choice((1, 2, 3, 4, 9)), 1, sound[: random.randint(0, len(sound))]))
        for _ in range(random.randint(0, 5)):
            data[random.randrange(len(data))] = random.randrange(256)
        hostile.post_raw(bytes(data))
        hostile.finish()
        while hostile.await_frame() is not None:
            pass
        hostile.close()
    committed(witness.commit(b"y"))
    assert "Traceback" not in service.log.read_text()


@pytest.mark.parametrize(
    ("stream", "reason"),
    [
        (encode_frame(CommitFrame.COMMIT, 1, b""), Reason.MALFORMED),
        (encode_frame(CommitFrame.HELLO, 1, encode_hello(Hello(2, 1))), Reason.MALFORMED),
        (encode_frame(CommitFrame.HELLO, 1, encode_hello(Hello(1, 1)) + b"x"), Reason.TOO_LARGE),
        (FRAME_HEADER.pack(2**32 - 1, CommitFrame.HELLO, 0, 0, 1), Reason.TOO_LARGE),
    ],
)
def test_whoever_breaks_a_rule_is_told_and_dismissed(service: RunningService, stream: bytes, reason: Reason) -> None:
    client = Client(service, greets=False)
    client.post_raw(stream)
    frame = client.await_frame()
    assert frame is not None
    assert frame.type == CommitFrame.ERROR
    assert struct.unpack_from("<H", frame.payload)[0] == reason
    assert client.await_frame() is None


def test_a_second_request_before_the_answer_ends_the_connection(service: RunningService) -> None:
    client = Client(service)
    first, second = (encode_frame(CommitFrame.COMMIT, number, client.record(b"a")) for number in (1, 2))
    client.post_raw(first + second)
    frames = [client.await_frame(), client.await_frame()]
    assert frames[-1] is None
    assert frames[0] is not None
    assert frames[0].type == CommitFrame.ERROR


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_announced_lengths_take_no_memory(service: RunningService) -> None:
    assert service.process is not None
    before = resident_bytes(service.process.pid)
    hostile = [Client(service) for _ in range(30)]
    for client in hostile:
        client.post_raw(FRAME_HEADER.pack(2**30, CommitFrame.COMMIT, 0, 0, 1) + bytes(1000))
    committed(Client(service).commit(b"a"))
    assert resident_bytes(service.process.pid) - before < 30 * 2**20


def resident_bytes(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * resource.getpagesize()


def test_bytes_on_their_way_in_are_bounded_over_all_connections(start: Start) -> None:
    service = start("--transaction-mib-max", "1")
    clients = [Client(service) for _ in range(8)]
    dismissed = 0
    for client in clients:
        client.post_raw(FRAME_HEADER.pack(2**20, CommitFrame.COMMIT, 0, 0, 1) + bytes(2**20 - 1))
        committed(Client(service).commit(os.urandom(8)))
    for client in clients:
        client.post_raw(b"\0")
        frame = client.await_frame()
        dismissed += frame is None or struct.unpack_from("<H", frame.payload)[0] == Reason.STORAGE_BEHIND
    assert 4 <= dismissed < 8


# Followers


def test_a_follower_gets_everything_from_files_and_then_live(start: Start) -> None:
    service = start()
    client = Client(service)
    for number in range(300):
        committed(client.commit(b"%d" % number, os.urandom(8000)))
    follower = FollowingClient(service)
    batches = follower.await_timestamp(service.acknowledged)
    live = committed(client.commit(b"live"))
    batches += follower.await_timestamp(live.timestamp)
    records = [record for batch in batches for record in batch.records if record.kind == RecordKind.TRANSACTION]
    assert len(records) == 301
    assert sum(record.kind == RecordKind.CHECKPOINT for batch in batches for record in batch.records) >= 3
    late = FollowingClient(service, batches[100].header.end)
    again = late.await_timestamp(live.timestamp)
    assert again[0].header.position == batches[101].header.position


def test_a_giant_transaction_reaches_its_followers(start: Start) -> None:
    service = start()
    client = Client(service)
    live = FollowingClient(service)
    value = os.urandom(20_000_000)
    answer = committed(client.commit(b"giant", value))
    after = committed(client.commit(b"after"))
    for follower in (live, FollowingClient(service)):
        batches = follower.await_timestamp(after.timestamp)
        (giant,) = [batch for batch in batches if batch.header.last_timestamp == answer.timestamp]
        record = TransactionRecord(giant.records[-1].payload)
        assert list(record.writes()) == [(1, b"\x10\0\0\0\1giant", value)]


def test_many_followers_that_do_not_read_hold_nobody_up(start: Start) -> None:
    service = start()
    client = Client(service)
    lazy = [FollowingClient(service) for _ in range(5)]
    for number in range(100):
        committed(client.commit(b"%d" % number, bytes(200_000)))
    for follower in lazy:
        assert follower.await_timestamp(service.acknowledged)


def test_what_a_snapshot_covers_is_truncated_once_outcomes_do_not_need_it(start: Start) -> None:
    service = start("--outcome-age-max", "1")
    client = Client(service)
    for number in range(30):
        committed(client.commit(b"%d" % number, os.urandom(100_000)))
    follower = FollowingClient(service)
    end = follower.await_timestamp(service.acknowledged)[-1].header.end
    follower.report_snapshot(end)
    zone = service.data / "journal" / "zone-1"
    first = zone / segment_name(Position(0))

    def is_truncated() -> bool:
        committed(client.commit(b"again", os.urandom(100)))
        return not first.exists()

    wait_until(is_truncated, "what is in the first segment is old enough")
    late = FollowingClient(service)
    frame = late.await_frame()
    assert frame is not None
    assert frame.type == JournalFrame.GONE
    oldest = decode_position(frame.payload)
    assert oldest == min(position for path in zone.iterdir() if (position := parse_segment_name(path.name)) is not None)
    late.follow(oldest)
    assert late.await_batch().header.position == oldest + SEGMENT_HEADER_BYTES


@pytest.mark.parametrize("position", [2**63, 2**64 - 1])
def test_a_follower_from_beyond_the_end_is_dismissed(service: RunningService, position: int) -> None:
    follower = FollowingClient(service, position)
    frame = follower.await_frame()
    assert frame is not None
    assert frame.type == JournalFrame.ERROR
    assert follower.await_frame() is None


def test_a_hostile_follower_harms_nobody(service: RunningService) -> None:
    random = Random(3)
    good = FollowingClient(service)
    for _ in range(60):
        hostile = FollowingClient(service, None)
        hostile.post(random.choice((1, 2, 3, 7)), random.randbytes(random.choice((0, 8, 16, 24))))
        hostile.finish()
        while (frame := hostile.await_frame()) is not None:
            if frame.type == JournalFrame.GONE:
                assert decode_position(frame.payload) == 0
    answer = committed(Client(service).commit(b"a"))
    good.await_timestamp(answer.timestamp)


# Waiting


def test_commits_wait_for_storage_that_is_behind(start: Start) -> None:
    service = start("--lag-mib-max", "1")
    client, waiting = Client(service), Client(service)
    follower = FollowingClient(service)
    committed(client.commit(b"a", bytes(2**20)))
    waiting.post(CommitFrame.COMMIT, waiting.record(b"b"))
    # Not being held up is what the outcome of the other shows: asking for it never waits.
    query = OutcomeQuery(TransactionId(bytes(16)), service.acknowledged)
    assert refused(client.ask(CommitFrame.OUTCOME, encode_outcome_query(query))).reason is Reason.FORGOTTEN
    assert isinstance(client.ask(CommitFrame.SEQUENCE, encode_sequence_call(NEXT)), SequenceGrant)
    batches = follower.await_timestamp(service.acknowledged)
    follower.report_applied(batches[-1].header.end, batches[-1].header.last_timestamp)
    committed(waiting.await_answer())


def test_whoever_waits_too_long_for_storage_is_refused(start: Start) -> None:
    service = start("--lag-mib-max", "1", "--lag-wait-max", "1")
    client = Client(service)
    committed(client.commit(b"a", bytes(2**20)))
    record = client.record(b"b")
    assert refused(client.ask(CommitFrame.COMMIT, record)).reason is Reason.STORAGE_BEHIND
    query = OutcomeQuery(TransactionRecord(record).transaction_id, service.acknowledged)
    assert refused(client.ask(CommitFrame.OUTCOME, encode_outcome_query(query))).reason is Reason.FORGOTTEN


def test_a_reserved_table_is_written_by_nobody_else_until_the_connection_ends(service: RunningService) -> None:
    reserver, writer, witness = Client(service), Client(service), Client(service)
    table = encode_reservation([Relfilenode(1)])
    assert isinstance(reserver.ask(CommitFrame.RESERVE, table), Reserved)
    writer.post(CommitFrame.COMMIT, writer.record(b"a"))
    other = encode_transaction(
        TransactionId(bytes(16)), service.acknowledged, SchemaVersion(0), writes=[(1, b"\x10\0\0\0\2b", b"v")]
    )
    committed(witness.ask(CommitFrame.COMMIT, other))
    before = service.acknowledged
    committed(reserver.commit(b"c"))
    reserver.close()
    assert committed(writer.await_answer()).timestamp > before


@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="needs prlimit")
def test_a_giant_that_finds_no_room_is_refused_and_smaller_ones_are_not(start: Start) -> None:
    service = start()
    client = Client(service)
    assert service.process is not None
    soft, hard = resource.prlimit(service.process.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(service.process.pid, resource.RLIMIT_FSIZE, (2**20, hard))
    assert refused(client.commit(b"giant", bytes(5_000_000))).reason is Reason.DISK_FULL
    for number in range(40):
        committed(client.commit(b"%d" % number, os.urandom(50_000)))
    resource.prlimit(service.process.pid, resource.RLIMIT_FSIZE, (soft, hard))
    committed(client.commit(b"giant", bytes(5_000_000)))


@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="needs prlimit")
def test_a_question_about_an_outcome_is_not_refused_with_the_commits_that_find_no_room(start: Start) -> None:
    """Whoever asks for the outcome of a commit that is durable, in the turn in which a giant finds no room."""
    service = start()
    asking, giant = Client(service), Client(service)
    record = TransactionRecord(asking.record(b"a"))
    outcome = committed(asking.ask(CommitFrame.COMMIT, bytes(record.data)))
    query = encode_outcome_query(OutcomeQuery(record.transaction_id, record.read_timestamp))
    assert service.process is not None
    pid = service.process.pid
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (2**20, resource.prlimit(pid, resource.RLIMIT_FSIZE)[1]))
    frame = encode_frame(CommitFrame.COMMIT, 2, giant.record(b"giant", bytes(2_000_000)))
    giant.post_raw(frame[:-1])
    while giant.unread_bytes:  # or there may be no room for the last byte while the service stands still
        asking.ask(CommitFrame.OUTCOME, query)
    os.kill(pid, signal.SIGSTOP)
    os.waitid(os.P_PID, pid, os.WSTOPPED)
    giant.post_raw(frame[-1:])
    asking.post(CommitFrame.OUTCOME, query)
    os.kill(pid, signal.SIGCONT)
    assert asking.await_answer() == outcome
    answer = giant.await_frame()
    assert answer is not None
    assert refused(decode_answer(answer.type, answer.payload)).reason is Reason.DISK_FULL


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of four mebibytes."""
    mount = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(tmp_path)]
    if sys.platform != "linux" or os.getuid() != 0 or subprocess.run(mount, check=False).returncode != 0:
        pytest.skip("cannot mount a small file system here")
    yield tmp_path
    subprocess.run(["umount", "--lazy", str(tmp_path)], check=True)


def test_a_full_disk_refuses_commits_and_works_again_with_room(small_disk: Path) -> None:
    service = RunningService()
    (service.data / "journal").symlink_to(small_disk)
    filler = small_disk / "filler"
    filler.write_bytes(bytes(3 * 2**19))
    try:
        service.start()
        client = Client(service)
        answers = [client.commit(b"%d" % number, os.urandom(50_000)) for number in range(60)]
        kept = [answer for answer in answers if isinstance(answer, Committed)]
        assert 30 < len(kept) < 50
        assert {refused(answer).reason for answer in answers if answer not in kept} == {Reason.DISK_FULL}
        query = OutcomeQuery(TransactionId(bytes(16)), service.acknowledged)
        assert refused(client.ask(CommitFrame.OUTCOME, encode_outcome_query(query))).reason is Reason.FORGOTTEN
        filler.unlink()
        committed(client.commit(b"again", os.urandom(50_000)))
        service.kill()
        service.start()
        batches = FollowingClient(service).await_timestamp(service.acknowledged)
        records = [record for batch in batches for record in batch.records if record.kind == RecordKind.TRANSACTION]
        assert len(records) == len(kept) + 1
    finally:
        service.destroy()


def test_several_zones_hold_the_same(start: Start) -> None:
    service = start("--zones", "3")
    client = Client(service)
    for number in range(20):
        committed(client.commit(b"%d" % number, bytes(100_000)))
    service.kill()
    zones = sorted((service.data / "journal").iterdir())
    assert len(zones) == 3
    names = sorted(path.name for path in zones[0].glob("journal-*"))
    for zone in zones[1:]:
        for name in names:
            assert (zone / name).read_bytes() == (zones[0] / name).read_bytes()


def test_a_hundred_clients_at_once(service: RunningService) -> None:
    clients = [Client(service) for _ in range(100)]
    for repetition in range(5):
        for number, client in enumerate(clients):
            client.post(CommitFrame.COMMIT, client.record(b"%d-%d" % (repetition, number)))
        timestamps = [committed(client.await_answer()).timestamp for client in clients]
        assert len(set(timestamps)) == len(clients)


def test_a_catalog_entry_is_published_before_its_answer(start: Start) -> None:
    service = start()
    client = Client(service)
    record = encode_transaction(TransactionId(os.urandom(16)), service.acknowledged, catalog_entry=b"ddl")
    answer = committed(client.ask(CommitFrame.COMMIT, record))
    assert answer.catalog_version == 1
    assert service.page(TransactionsWord.CATALOG_VERSION) == 1
    assert service.page(TransactionsWord.SCHEMA_VERSION) == 1
    stale = encode_transaction(
        TransactionId(os.urandom(16)), service.acknowledged, writes=[(1, b"\x10\0\0\0\1k", b"v")]
    )
    assert refused(client.ask(CommitFrame.COMMIT, stale)).reason is Reason.SCHEMA_CONFLICT


@pytest.mark.skipif(os.getuid() != 0, reason="needs root")
def test_privileges_are_dropped_before_data_is_touched() -> None:
    service = RunningService("--uid", "65534", "--gid", "65534")
    for path in (service.data, service.run):
        os.chown(path, 65534, 65534)
    try:
        service.start()
        client = Client(service)
        for number in range(10):
            committed(client.commit(b"%d" % number, bytes(400_000)))
        assert (service.data / "journal" / "zone-1").stat().st_uid == 65534
        assert service.process is not None
        assert "\nUid:\t65534\t65534\t65534\t65534\n" in Path(f"/proc/{service.process.pid}/status").read_text()
        FollowingClient(service).await_timestamp(service.acknowledged)
    finally:
        service.destroy()
