"""The quick decoder of storage finds what the careful one of `borealis.wire` finds."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from borealis.foundation.errors import Malformed
from borealis.storage.journalled import Writes, add_transaction, iterate_places, open_batch
from borealis.storage.stored_key import stored_key
from borealis.wire.journal_batch import RecordKind, decode_batch
from borealis.wire.transaction_record import LockMode, Operation, TransactionRecord, encode_transaction
from tests.unit.storage.journals import ENTRIES, ROWS, JournalBuilder, Transaction, journals

OVER = (Operation.UPDATE, Operation.KEY_UPDATE, Operation.DELETE, Operation.DELETE_UNCHECKED)


@given(journals, st.lists(st.integers(1, 9), max_size=3))
def test_as_the_careful_decoder(batches: list[list[Transaction]], dropped: list[int]) -> None:
    journal = JournalBuilder()
    for batch in batches:
        journal.add([*batch, Transaction(dropped=tuple(dropped))])
    for payload in journal.batches:
        careful = decode_batch(payload)
        header = open_batch(payload)
        places = list(iterate_places(header, payload))
        assert [place[2:] for place in places] == [record[:3] for record in careful.records]
        for place, record in zip(places, careful.records, strict=True):
            check_record(payload, place, TransactionRecord(record.payload), record.timestamp)


def check_record(payload: bytes, place: object, expected: TransactionRecord, timestamp: int) -> None:
    writes = Writes()
    remainder = add_transaction(writes, payload, place)
    unchecked = Operation.PUT_UNCHECKED
    entries = [(operation, stored_key(key, timestamp), value) for operation, key, value in expected.writes()]
    assert writes.puts == [entry[1:] for entry in entries if entry[0] != unchecked]
    assert writes.puts_that_may_cover == [entry[1:] for entry in entries if entry[0] == unchecked]
    assert writes.covered == [(timestamp, key) for operation, key, _ in expected.writes() if operation in OVER]
    assert remainder.catalog_entry == expected.catalog_entry
    assert remainder.invalidates_running == expected.invalidates_running
    assert remainder.dropped == expected.dropped
    assert remainder.deltas == expected.deltas


def test_locks_are_stepped_over() -> None:
    locks = [(LockMode.SHARE, ROWS[0]), (LockMode.EXCLUSIVE, ENTRIES[1])]
    record = encode_transaction(bytes(16), 1, writes=[(1, ROWS[1], b"v")], locks=locks, dropped=[5])
    payload, place = as_batch(record)
    check_record(payload, place, TransactionRecord(record), 100)


def test_many_writes() -> None:
    writes = [(1, ROWS[0] + number.to_bytes(2, "big"), b"v%d" % number) for number in range(1, 500)]
    record = encode_transaction(bytes(16), 1, writes=writes)
    payload, place = as_batch(record)
    check_record(payload, place, TransactionRecord(record), 100)


@given(st.integers(0, 200), st.integers(0, 255))
def test_a_changed_byte_harms_nothing_beyond_the_record(at: int, value: int) -> None:
    """Checksums keep such bytes away; should they come, the decoder stays inside the batch or says Malformed."""
    record = bytearray(
        encode_transaction(
            bytes(16), 1, writes=[(1, ROWS[0], b"value"), (4, ROWS[1], b"")], locks=[(1, ROWS[2])], dropped=[5]
        )
    )
    record[at % len(record)] = value
    payload, place = as_batch(bytes(record))
    writes = Writes()
    try:
        add_transaction(writes, payload, place)
    except Malformed:
        return
    assert sum(len(key) + len(data) for key, data in writes.puts) <= len(payload) + 16


def test_a_cut_batch_is_malformed() -> None:
    payload, _ = as_batch(encode_transaction(bytes(16), 1, writes=[(1, ROWS[0], b"value")]))
    for length in range(len(payload)):
        with pytest.raises(Malformed):
            open_batch(payload[:length])


def as_batch(record: bytes) -> tuple[bytes, object]:
    journal = JournalBuilder()
    payload = journal.append_raw(RecordKind.TRANSACTION, record)
    return payload, next(iterate_places(open_batch(payload), payload))
