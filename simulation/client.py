"""Virtual query processors: sessions that run transactions as the extension does, and write down what they saw.

A session takes its read timestamp from the page, registers it, waits for storage, reads the map, collects its writes
and locks, and commits over a connection that may break at any time; then it asks for the outcome by the transaction's
id.
"""

import struct
from collections.abc import Callable, Generator
from random import Random
from typing import Any, Final

from borealis.foundation.errors import Reason
from borealis.foundation.identifiers import CatalogVersion, Relfilenode, Timestamp, TransactionId
from borealis.storage.horizon import ReaderSlot
from borealis.storage.ordered_map import MemoryMap, OrderedMap, Table
from borealis.storage.stored_key import key_of, timestamp_suffix
from borealis.wire.commit_messages import (
    Answer,
    Committed,
    OutcomeQuery,
    OutcomeUnknown,
    Refused,
    SequenceCall,
    SequenceGrant,
    SequenceOperation,
)
from borealis.wire.transaction_record import (
    TABLE_KEY_BYTES,
    LockMode,
    Operation,
    RelationDelta,
    TransactionRecord,
    encode_transaction,
)
from simulation.desk import Connection
from simulation.history import Attempt, Grant, History, Outcome
from simulation.scheduler import MICROSECOND, MILLISECOND, Mailbox, Scheduler, Script, Sleep, Step, Take
from simulation.service_process import ServiceProcess, TransactionsPage
from simulation.storage_process import StoragePage

LISTS: Final = Relfilenode(1)
INDEX_OF_LISTS: Final = Relfilenode(2)
REGISTERS: Final = Relfilenode(3)
LIST_COUNT: Final = 5
REGISTER_COUNT: Final = 6
SEQUENCES: Final = (Relfilenode(10), Relfilenode(11))

Request = TransactionRecord | OutcomeQuery | SequenceCall


def row_key(relfilenode: Relfilenode, number: int) -> bytes:
    return struct.pack(">BIII", 0x10, relfilenode, 0, number)


def index_key(relfilenode: Relfilenode, number: int) -> bytes:
    return struct.pack(">BII", 0x20, relfilenode, number)


def encode_list(values: tuple[int, ...]) -> bytes:
    return struct.pack(f"<{len(values)}I", *values)


def decode_list(value: bytes | None) -> tuple[int, ...]:
    return struct.unpack(f"<{len(value) // 4}I", value) if value else ()


class Machine:
    """What sessions share with the processes on their machine."""

    def __init__(self, scheduler: Scheduler, service: ServiceProcess, page: TransactionsPage) -> None:
        self.scheduler = scheduler
        self.service = service
        self.transactions_page = page
        self.storage_page = StoragePage()
        self.map: Callable[[], OrderedMap] = MemoryMap
        self.slots: dict[int, Timestamp] = {}
        self.history = History()
        self.is_over = False
        self.loses_connections = False
        self._next_value = 0

    def unique_value(self) -> int:
        self._next_value += 1
        return self._next_value

    def reader_slots(self) -> list[ReaderSlot]:
        return [ReaderSlot("1", client, client, read, True) for client, read in self.slots.items()]

    def oldest_reader(self) -> Timestamp:
        return min(self.slots.values(), default=Timestamp(0))


class HorizonPassed(Exception):  # noqa: N818 - what happened
    """The versions that this reader needs may be gone."""


class Session:
    """One client. `script` is its life."""

    def __init__(self, number: int, machine: Machine, random: Random) -> None:
        self._number = number
        self._machine = machine
        self._random = random
        self._mailbox = Mailbox()
        self._connection: Connection | None = None
        self._request_number = 0

    def script(self) -> Script:
        machine = self._machine
        try:
            while not machine.is_over:
                yield Sleep(self._random.randint(10, 4000) * MICROSECOND)
                if self._random.random() < 0.12:
                    yield from self._call_sequence()
                else:
                    yield from self._run_transaction(self._random.choice(self._transactions))
        finally:
            machine.slots.pop(self._number, None)

    def read_everything(self) -> Script:
        """The last transaction of a run: reads every list."""
        yield from self._run_transaction(self._read_all_lists)

    # Transactions

    def _run_transaction(self, fill: Callable[[Attempt], Generator[Step, Any, None]]) -> Script:
        machine = self._machine
        attempt = Attempt(self._number, machine.scheduler.now, TransactionId(self._random.randbytes(16)))
        reserved = None
        try:
            if fill == self._change_catalog and self._random.random() < 0.7:
                reserved = yield from self._reserve()
            yield from self._begin(attempt)
            yield from fill(attempt)
            if attempt.writes or attempt.locks or attempt.catalog_entry:
                yield from self._commit(attempt)
            else:
                attempt.outcome = Outcome.READ_ONLY
        except HorizonPassed:
            pass
        except GeneratorExit:
            if attempt.outcome is Outcome.NOT_TRIED and self._is_committing:
                attempt.outcome = Outcome.UNKNOWN
            raise
        finally:
            self._is_committing = False
            if reserved is not None:
                reserved.is_open = False
                machine.service.release(reserved)
            machine.slots.pop(self._number, None)
            attempt.ended = machine.scheduler.now
            machine.history.attempts.append(attempt)

    _is_committing = False

    def _reserve(self) -> Generator[Step, Any, Connection | None]:
        """As a schema change does before it reads a whole table: its timestamp comes after the answer."""
        if not (yield from self._connect(tries=3)):
            return None
        connection = self._connection
        assert connection is not None
        yield Sleep(self._random.randint(5, 300) * MICROSECOND)
        self._machine.service.reserve(connection, [LISTS])
        yield Sleep(self._random.randint(5, 300) * MICROSECOND)
        return connection

    def _begin(self, attempt: Attempt) -> Generator[Step, Any, None]:
        machine = self._machine
        while True:
            published = machine.transactions_page.published
            attempt.read_timestamp, attempt.schema_version = published.acknowledged, published.schema_version
            self._catalog_version = published.catalog_version
            yield Sleep(self._random.randint(0, 20) * MICROSECOND)
            machine.slots[self._number] = attempt.read_timestamp
            yield Sleep(self._random.randint(0, 5) * MICROSECOND)
            if machine.storage_page.horizon <= attempt.read_timestamp:
                break
        while machine.storage_page.applied < attempt.read_timestamp:
            yield Sleep(50 * MICROSECOND)

    def _read(self, attempt: Attempt, key: bytes) -> Generator[Step, Any, bytes | None]:
        yield Sleep(self._random.randint(0, 300) * MICROSECOND)
        value = None
        with self._machine.map().read() as reader:
            for stored, found in reader.scan(Table.VERSIONS, key + timestamp_suffix(attempt.read_timestamp)):
                if key_of(stored) == key:
                    value = found or None
                break
        if self._machine.storage_page.horizon > attempt.read_timestamp:
            raise HorizonPassed
        attempt.reads.append((key, value))
        return value

    def _append_to_lists(self, attempt: Attempt) -> Generator[Step, Any, None]:
        for number in self._some_lists(self._random.randint(1, 3)):
            yield from self._touch_list(attempt, number, self._random.random() < 0.7)

    def _touch_list(self, attempt: Attempt, number: int, is_append: bool) -> Generator[Step, Any, None]:
        key = row_key(LISTS, number)
        value = yield from self._read(attempt, key)
        if is_append:
            item = self._machine.unique_value()
            operation = Operation.UPDATE if value else Operation.INSERT
            changed = encode_list((*decode_list(value), item))
            attempt.writes.append((operation, key, changed))
            attempt.writes.append((Operation.PUT_UNCHECKED, index_key(INDEX_OF_LISTS, number), changed))
            attempt.appends.append((key, item))

    def _guard_one_list_by_another(self, attempt: Attempt) -> Generator[Step, Any, None]:
        guard, target = self._some_lists(2)
        yield from self._read(attempt, row_key(LISTS, guard))
        attempt.locks.append((self._random.choice(list(LockMode)), row_key(LISTS, guard)))
        if self._random.random() < 0.8:
            yield from self._touch_list(attempt, target, True)

    def _change_registers(self, attempt: Attempt) -> Generator[Step, Any, None]:
        for number in self._random.sample(range(REGISTER_COUNT), self._random.randint(1, 4)):
            key = row_key(REGISTERS, number)
            value = yield from self._read(attempt, key)
            kinds = (Operation.UPDATE, Operation.KEY_UPDATE, Operation.DELETE) if value else (Operation.INSERT,)
            operation = self._random.choice(kinds)
            new = b"" if operation == Operation.DELETE else self._random.randbytes(self._random.choice((4, 40, 400)))
            attempt.writes.append((operation, key, new))

    def _write_a_giant(self, attempt: Attempt) -> Generator[Step, Any, None]:
        key = row_key(REGISTERS, self._random.randrange(REGISTER_COUNT))
        value = yield from self._read(attempt, key)
        attempt.writes.append((Operation.UPDATE if value else Operation.INSERT, key, self._random.randbytes(12_000)))

    def _change_catalog(self, attempt: Attempt) -> Generator[Step, Any, None]:
        attempt.catalog_entry = b"entry after %d" % self._catalog_version
        kind = self._random.random()
        if kind < 0.4:
            yield from self._append_to_lists(attempt)
        elif kind < 0.8:  # as the building of an index does
            attempt.locks.append((LockMode.EXCLUSIVE, row_key(LISTS, 0)[:TABLE_KEY_BYTES]))
            yield from self._read_all_lists(attempt)

    def _read_lists(self, attempt: Attempt) -> Generator[Step, Any, None]:
        for number in self._some_lists(3):
            yield from self._read(attempt, row_key(LISTS, number))

    def _read_all_lists(self, attempt: Attempt) -> Generator[Step, Any, None]:
        for number in range(LIST_COUNT):
            yield from self._read(attempt, row_key(LISTS, number))

    def _linger(self, attempt: Attempt) -> Generator[Step, Any, None]:
        """A long transaction: reads, and reads the same again much later."""
        yield from self._read_lists(attempt)
        yield Sleep(self._random.randint(1, 100) * MILLISECOND)
        yield from self._append_to_lists(attempt)

    @property
    def _transactions(self) -> list[Callable[[Attempt], Generator[Step, Any, None]]]:
        frequent = [self._append_to_lists, self._change_registers, self._guard_one_list_by_another, self._read_lists]
        return [*frequent * 6, self._change_catalog, self._linger, self._linger, self._write_a_giant]

    def _some_lists(self, count: int) -> list[int]:
        return self._random.sample(range(LIST_COUNT), count)

    # Committing

    def _commit(self, attempt: Attempt) -> Generator[Step, Any, None]:
        record = TransactionRecord(self._encode(attempt))
        if not (yield from self._connect(tries=20)):
            return
        self._is_committing = True
        answer = yield from self._ask(record)
        if self._random.random() < 0.05:  # what a network may do, and what a confused sender may
            self._send_once_more(record)
        for _ in range(40):
            if answer is not None:
                break
            if (yield from self._connect(tries=1)):
                answer = yield from self._ask(OutcomeQuery(attempt.transaction_id, attempt.read_timestamp))
        _note_outcome(attempt, answer)

    def _encode(self, attempt: Attempt) -> bytes:
        inserts = sum(operation == Operation.INSERT for operation, _, _ in attempt.writes)
        deletes = sum(operation == Operation.DELETE for operation, _, _ in attempt.writes)
        change = inserts - deletes
        return encode_transaction(
            attempt.transaction_id,
            attempt.read_timestamp,
            attempt.schema_version,
            writes=attempt.writes,
            locks=attempt.locks,
            catalog_entry=attempt.catalog_entry,
            follows_catalog_version=self._catalog_version if attempt.catalog_entry else CatalogVersion(0),
            deltas=[RelationDelta(LISTS, change, 100 * change)] if change else [],
        )

    def _connect(self, tries: int) -> Generator[Step, Any, bool]:
        for _ in range(tries):
            if self._connection is not None and self._connection.is_open:
                return True
            self._connection = self._machine.service.connect(self._arrive)
            if self._connection is None:
                yield Sleep(5 * MILLISECOND)
        return self._connection is not None and self._connection.is_open

    def _arrive(self, number: int, answer: Answer | None) -> None:
        self._mailbox.put((number, answer))

    def _ask(self, request: Request) -> Generator[Step, Any, Answer | None]:
        """The answer; None if the connection is lost, or given up."""
        machine, connection = self._machine, self._connection
        assert connection is not None
        self._request_number += 1
        number = self._request_number
        self._mailbox.messages.clear()
        self._deliver(connection, number, request, self._random.randint(5, 300) * MICROSECOND)
        patience = (
            machine.scheduler.now + (self._random.randint(1, 30) if machine.loses_connections else 1000) * MILLISECOND
        )
        while machine.scheduler.now < patience:
            message = yield Take(self._mailbox, patience - machine.scheduler.now)
            if message is None:
                break
            answered, answer = message
            if answered == number or (answer is None and not connection.is_open):
                return answer if answered == number else None
        connection.is_open = False
        return None

    def _deliver(self, connection: Connection, number: int, request: Request, delay: int) -> None:
        """Bytes on their way arrive even if their sender has gone, but never in another life of the service."""
        service = self._machine.service
        life = service.life
        if self._machine.loses_connections and self._random.random() < 0.1:
            delay += self._random.randint(1, 60) * MILLISECOND

        def arrive() -> None:
            if service.life == life:
                service.receive(connection, number, request)

        self._machine.scheduler.after(delay, arrive)

    def _send_once_more(self, record: TransactionRecord) -> None:
        stray = Connection(lambda _number, _answer: None)
        self._deliver(stray, 0, record, self._random.randint(0, 20) * MILLISECOND)

    # Sequences

    def _call_sequence(self) -> Generator[Step, Any, None]:
        relfilenode = self._random.choice(SEQUENCES)
        increment = 1 if relfilenode == SEQUENCES[0] else -3
        call = SequenceCall(
            relfilenode,
            SequenceOperation.NEXT,
            is_cycling=False,
            start_is_called=False,
            value_is_called=False,
            start=0,
            increment=increment,
            minimum=-(2**40),
            maximum=2**40,
            value=0,
            wanted=self._random.choice((1, 1, 5, 50)),
        )
        if (yield from self._connect(tries=3)):
            answer = yield from self._ask(call)
            if isinstance(answer, SequenceGrant):
                self._machine.history.grants.append(Grant(relfilenode, answer.first, answer.granted, increment))


def _note_outcome(attempt: Attempt, answer: Answer | None) -> None:
    match answer:
        case Committed(timestamp, catalog_version):
            attempt.outcome = Outcome.COMMITTED
            attempt.commit_timestamp, attempt.catalog_version = timestamp, catalog_version
        case Refused(reason, _):
            attempt.outcome = Outcome.REJECTED
            attempt.reason = Reason(reason)
        case None | OutcomeUnknown():
            attempt.outcome = Outcome.UNKNOWN
        case other:
            raise AssertionError(f"a commit was answered with {other}")
