"""What a run is accused of: the histories held against the journal that is left in the end.

The journal is the truth about what has committed, and when. From it follows what every reader must have seen, which
commits exclude each other, and what storage must hold. `lists` judges a second time, without looking at the journal.
"""

from collections.abc import Iterator
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

from borealis.foundation.errors import Malformed
from borealis.foundation.identifiers import Position, Relfilenode, Timestamp, TransactionId
from borealis.journal.segments import SEGMENT_HEADER_BYTES, iterate_batches, parse_segment_name
from borealis.storage.ordered_map import Table
from borealis.storage.statistics import STATISTICS_TIMESTAMP
from borealis.storage.stored_key import catalog_key, key_of, statistics_key, stored_key, timestamp_of
from borealis.wire.journal_batch import JournalRecord, RecordKind, iterate_records
from borealis.wire.transaction_record import TransactionRecord
from simulation.checkers.lists import judge_lists
from simulation.history import Attempt, History, Outcome

if TYPE_CHECKING:
    from simulation.disk import VirtualDisk
    from simulation.service_process import ServiceProcess
    from simulation.storage_process import StorageProcess


class Violation(NamedTuple):
    kind: str
    detail: str


class Evidence(NamedTuple):
    history: History
    service: "ServiceProcess"
    storage: "StorageProcess"
    disk: "VirtualDisk"
    unexpected_ends: list[BaseException]


class Commit(NamedTuple):
    timestamp: Timestamp
    record: TransactionRecord
    journal_record: JournalRecord


# The conflict matrix of docs/formats.md, written down a second time.
_OPERATIONS = {1: "exclusive", 2: "update", 3: "exclusive", 4: "exclusive"}
_LOCKS = {1: "key share", 2: "share", 3: "update", 4: "exclusive"}
_WRITES = ("exclusive", "update")
_TABLE_KEY_BYTES = 5
_EXCLUDE = {
    *[("exclusive", other) for other in ("exclusive", "update", "share", "key share")],
    *[("update", other) for other in ("exclusive", "update", "share")],
    *[("share", other) for other in ("exclusive", "update")],
    ("key share", "exclusive"),
}


def _short(value: bytes | None) -> str:
    return "nothing" if value is None else value[:24].hex() + ("…" if len(value) > 24 else "")


def judge(evidence: Evidence) -> list[Violation]:
    violations = [Violation("a process ended", repr(end)) for end in evidence.unexpected_ends]
    try:
        commits = _read_commits(evidence)
    except Malformed as error:
        return [*violations, Violation("the journal is nonsense", error.text)]
    violations += _judge_health(evidence)
    violations += _judge_order(commits)
    violations += _judge_outcomes(evidence.history, commits)
    violations += _judge_reads(evidence.history, commits)
    violations += _judge_conflicts(commits)
    violations += _judge_real_time(evidence.history)
    violations += _judge_sequences(evidence.history)
    if evidence.storage.replica is not None:
        violations += _judge_storage(evidence, commits)
    violations += [Violation(kind, detail) for kind, detail in judge_lists(evidence.history)]
    return violations


def _read_commits(evidence: Evidence) -> list[Commit]:
    """Every transaction of the journal, in its order, from the segments that are left and those that were removed."""
    copies: dict[Position, list[JournalRecord]] = {}
    for path, data in {**evidence.disk.removed, **evidence.disk.files()}.items():
        position = parse_segment_name(path.name)
        if position is not None:
            copies[position] = max(copies.get(position, []), _records(data, position), key=len)
    records = [record for _, its_records in sorted(copies.items()) for record in its_records]
    return [
        Commit(record.timestamp, TransactionRecord(record.payload), record)
        for record in records
        if record.kind == RecordKind.TRANSACTION
    ]


def _records(segment: bytes, first_position: Position) -> list[JournalRecord]:
    """As many as are intact: one zone's copy may be damaged."""
    return [
        record
        for offset, header in iterate_batches(memoryview(segment), first_position, SEGMENT_HEADER_BYTES)
        for record in iterate_records(header, segment, offset)
    ]


def _judge_health(evidence: Evidence) -> Iterator[Violation]:
    """Once nothing goes wrong any more, everything must work again."""
    if evidence.service.service is None or evidence.storage.replica is None:
        yield Violation("no recovery", "a process is still down long after the last fault")
        return
    last = evidence.history.attempts[-1] if evidence.history.attempts else None
    if last is None or last.outcome is not Outcome.READ_ONLY or last.client != 0:
        yield Violation("no recovery", "the last reader could not read")


def _judge_order(commits: list[Commit]) -> Iterator[Violation]:
    version = 0
    schema = 0
    for earlier, later in pairwise(commits):
        if earlier.timestamp >= later.timestamp:
            yield Violation("order", f"commit timestamps do not rise at {later.timestamp}")
    for commit in commits:
        if commit.record.schema_version != schema:
            yield Violation("stale schema", f"the commit at {commit.timestamp} began under another schema")
        if commit.record.catalog_entry:
            if commit.record.follows_catalog_version != version:
                yield Violation("stale catalog", f"the entry at {commit.timestamp} does not follow {version}")
            version += 1
            schema = version
        if commit.journal_record.catalog_version != version:
            yield Violation("catalog version", f"{commit.journal_record.catalog_version} instead of {version}")


def _judge_outcomes(history: History, commits: list[Commit]) -> Iterator[Violation]:
    committed: dict[TransactionId, Commit] = {}
    for commit in commits:
        if commit.record.transaction_id not in committed:
            committed[commit.record.transaction_id] = commit
        elif commit.record.keys or commit.record.catalog_entry:  # locks alone may come twice: they change nothing
            yield Violation("committed twice", commit.record.transaction_id.hex())
    for attempt in history.attempts:
        commit_found = committed.get(attempt.transaction_id)
        name = f"{attempt.transaction_id.hex()} of client {attempt.client}"
        if attempt.outcome is Outcome.COMMITTED:
            if commit_found is None:
                yield Violation("lost commit", f"{name}, acknowledged at {attempt.commit_timestamp}")
            elif commit_found.timestamp != attempt.commit_timestamp:
                yield Violation("wrong timestamp", f"{name}: {attempt.commit_timestamp}, not {commit_found.timestamp}")
            elif attempt.catalog_entry and commit_found.journal_record.catalog_version != attempt.catalog_version:
                yield Violation("wrong catalog version", f"{name}: {attempt.catalog_version}")
        elif commit_found is not None and attempt.outcome is not Outcome.UNKNOWN:
            yield Violation("false refusal", f"{name} has committed at {commit_found.timestamp} ({attempt.outcome})")


def _judge_reads(history: History, commits: list[Commit]) -> Iterator[Violation]:
    """Every read sees the newest version at or below its timestamp: nothing aborted, half, early or late."""
    versions: dict[bytes, list[tuple[Timestamp, bytes | None]]] = {}
    for commit in commits:
        for _, key, value in commit.record.writes():
            versions.setdefault(key, []).append((commit.timestamp, value or None))
    for attempt in history.attempts:
        for key, seen in attempt.reads:
            expected: bytes | None = None
            for timestamp, version in versions.get(key, ()):
                if timestamp <= attempt.read_timestamp:
                    expected = version
            if seen != expected:
                where = f"client {attempt.client} at {attempt.read_timestamp}, key {key.hex()}"
                yield Violation("wrong read", f"{where}: {_short(seen)}, not {_short(expected)}")


def _judge_conflicts(commits: list[Commit]) -> Iterator[Violation]:
    """The matrix, as it is written, on every pair of commits of which one did not see the other."""
    touched = [_touched(commit.record) for commit in commits]
    for number, later in enumerate(commits):
        for earlier_number in range(number - 1, -1, -1):
            earlier = commits[earlier_number]
            if earlier.timestamp <= later.record.read_timestamp:
                break
            for key, mine in touched[number]:
                for other_key, theirs in touched[earlier_number]:
                    is_row_of = len(key) == _TABLE_KEY_BYTES and other_key.startswith(key) and theirs in _WRITES
                    if is_row_of or (key == other_key and (mine, theirs) in _EXCLUDE):
                        yield Violation("lost update", f"{later.timestamp} did not see {earlier.timestamp}")


def _touched(record: TransactionRecord) -> list[tuple[bytes, str]]:
    """(key, class) of everything that takes part in conflicts."""
    touched = [(key, _OPERATIONS[operation]) for operation, key, _ in record.writes() if operation in _OPERATIONS]
    return touched + [(key, _LOCKS[mode]) for mode, key in record.locks()]


def _judge_real_time(history: History) -> Iterator[Violation]:
    """Whoever begins after an acknowledgement, or after another began, reads at its timestamp or later."""
    events: list[tuple[int, int, Attempt]] = []
    for attempt in history.attempts:
        events.append((attempt.began, 1, attempt))
        if attempt.outcome is Outcome.COMMITTED:
            events.append((attempt.ended, 0, attempt))
    newest = Timestamp(0)
    for time, is_begin, attempt in sorted(events, key=lambda event: (event[0], event[1], event[2].transaction_id)):
        if not is_begin:
            newest = max(newest, attempt.commit_timestamp or Timestamp(0))
        elif attempt.read_timestamp and attempt.read_timestamp < newest:
            yield Violation("stale read", f"client {attempt.client} began at {time} and reads below {newest}")


def _judge_sequences(history: History) -> Iterator[Violation]:
    seen: set[tuple[int, int]] = set()
    for grant in history.grants:
        for value in grant.values():
            if (grant.relfilenode, value) in seen:
                yield Violation("sequence value twice", f"{value} of {grant.relfilenode}")
            seen.add((grant.relfilenode, value))


def _judge_storage(evidence: Evidence, commits: list[Commit]) -> Iterator[Violation]:
    """Storage holds the newest version of everything, nothing that was never written, and each delta once."""
    newest: dict[bytes, tuple[Timestamp, bytes]] = {}
    ever: set[bytes] = set()
    deltas: dict[Relfilenode, list[int]] = {}
    for commit in commits:
        writes = [(key, value) for _, key, value in commit.record.writes()]
        if commit.record.catalog_entry:
            writes.append((catalog_key(commit.journal_record.catalog_version), commit.record.catalog_entry))
        for key, value in writes:
            newest[key] = (commit.timestamp, value)
            ever.add(stored_key(key, commit.timestamp))
        for relfilenode, rows, size in commit.record.deltas:
            total = deltas.setdefault(relfilenode, [0, 0])
            total[0], total[1] = max(0, total[0] + rows), max(0, total[1] + size)
    held = dict(evidence.storage.map.tables[Table.VERSIONS])
    for relfilenode, (rows, size) in deltas.items():
        stored = held.pop(stored_key(statistics_key(relfilenode), STATISTICS_TIMESTAMP), bytes(16))
        found = (int.from_bytes(stored[:8], "little", signed=True), int.from_bytes(stored[8:], "little", signed=True))
        if found != (rows, size):
            yield Violation("not applied exactly once", f"relation {relfilenode} counts {found}, not {(rows, size)}")
    for key, (timestamp, value) in newest.items():
        stored_value = held.get(stored_key(key, timestamp))
        if stored_value != value and (value or stored_value is not None):
            yield Violation("apply", f"key {key.hex()} at {timestamp} is {_short(stored_value)}, not {_short(value)}")
    for stored in held:
        if stored not in ever:
            yield Violation("apply", f"key {key_of(stored).hex()} at {timestamp_of(stored)} was never written")
