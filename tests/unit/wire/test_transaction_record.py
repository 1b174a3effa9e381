from __future__ import annotations

import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from borealis.foundation.errors import Malformed
from borealis.foundation.identifiers import SchemaVersion, Timestamp, TransactionId
from borealis.wire.transaction_record import Operation, TransactionRecord, decode_outline, encode_transaction
from tests.unit.wire.records import record_parts, records

ID = TransactionId(bytes(range(16)))
KEY = b"\x10\0\0\0\1key"


@given(record_parts(), st.sampled_from([bytes, bytearray, memoryview]))
def test_a_record_is_decoded_to_what_was_encoded(parts: dict[str, Any], container: Any) -> None:
    record = TransactionRecord(container(encode_transaction(**parts)))
    assert record.transaction_id == parts["transaction_id"]
    assert record.read_timestamp == parts["read_timestamp"]
    assert record.schema_version == parts["schema_version"]
    assert list(record.writes()) == parts["writes"]
    assert list(record.locks()) == parts["locks"]
    assert record.catalog_entry == parts["catalog_entry"]
    assert record.follows_catalog_version == parts["follows_catalog_version"]
    assert record.invalidates_running == (bool(parts["catalog_entry"]) and parts["invalidates_running"])
    assert list(record.dropped) == parts["dropped"]
    assert record.deltas == parts["deltas"]


@given(records())
def test_the_outline_is_that_of_the_record(data: bytes) -> None:
    record, outline = TransactionRecord(data), decode_outline(data)
    assert outline.transaction_id == record.transaction_id
    assert outline.has_catalog_entry == bool(record.catalog_entry)
    assert outline.invalidates_running == record.invalidates_running
    assert outline.dropped == record.dropped


@given(records(), st.data())
def test_mutated_records_are_decoded_or_malformed_and_nothing_else(data: bytes, choose: st.DataObject) -> None:
    """Whatever a hostile sender changes: no other exception, and whatever passes obeys the rules."""
    mutated = bytearray(data)
    for _ in range(choose.draw(st.integers(1, 4))):
        match choose.draw(st.integers(0, 3)):
            case 0 if mutated:
                mutated[choose.draw(st.integers(0, len(mutated) - 1))] = choose.draw(st.integers(0, 255))
            case 1:
                del mutated[choose.draw(st.integers(0, len(mutated))) :]
            case 2:
                mutated += choose.draw(st.binary(max_size=8))
            case _ if len(mutated) >= 64:
                field = choose.draw(st.sampled_from([40, 44, 48, 52, 56, 60]))
                struct.pack_into("<I", mutated, field, choose.draw(st.sampled_from([0, 1, 2, 2**31, 2**32 - 1])))
    for decode in (TransactionRecord, decode_outline):
        try:
            decoded = decode(bytes(mutated))
        except Malformed:
            continue
        if isinstance(decoded, TransactionRecord):
            _check_rules(decoded)


def _check_rules(record: TransactionRecord) -> None:
    written = list(record.writes())
    assert len({key for _, key, _ in written}) == len(written)
    for operation, key, value in written:
        assert Operation(operation)
        assert 6 <= len(key) <= 1962
        assert key[0] in (0x10, 0x20)
        assert bool(value) == (operation not in (Operation.DELETE, Operation.DELETE_UNCHECKED))


def write(key: bytes = KEY, value: bytes = b"v", operation: int = 1) -> bytes:
    return encode_transaction(ID, Timestamp(1), SchemaVersion(0), writes=[(operation, key, value)])


def patched(data: bytes, offset: int, field: bytes) -> bytes:
    return data[:offset] + field + data[offset + len(field) :]


@pytest.mark.parametrize(
    ("data", "rule"),
    [
        (b"", "shorter than its header"),
        (write()[:-1], "beyond the record"),
        (write() + b"\0", "does not end"),
        (write(operation=0), "operation"),
        (write(operation=7), "operation"),
        (write(value=b""), "empty"),
        (write(operation=4), "empty"),
        (write(key=b"\x30\0\0\0\1key"), "namespaces"),
        (write(key=b"\x10\0\0\0"), "bytes long"),
        (write(key=KEY + bytes(1962)), "bytes long"),
        (encode_transaction(ID, Timestamp(1), writes=[(1, KEY, b"v"), (2, KEY, b"w")]), "twice"),
        (encode_transaction(ID, Timestamp(1), writes=[(1, KEY, b"v"), (1, KEY + b"2", b"v"), (1, KEY, b"v")]), "twice"),
        (encode_transaction(ID, Timestamp(1), locks=[(5, KEY)]), "lock mode"),
        (encode_transaction(ID, Timestamp(1), locks=[(1, b"\x50\0\0\0\1")]), "namespaces"),
        (encode_transaction(ID, Timestamp(1), locks=[(3, b"\x10\0\0\0\1")]), "whole table"),
        (encode_transaction(ID, Timestamp(1), locks=[(4, b"\x20\0\0\0\1")]), "whole table"),
        (write(key=b"\x10\0\0\0\1"), "bytes long"),
        (patched(write(), 32, b"\1"), "catalog version"),
        (patched(write(), 60, b"\1"), "catalog"),
        (patched(encode_transaction(ID, Timestamp(1), catalog_entry=b"x"), 60, b"\2"), "flag"),
        (patched(write(), 40, b"\xff\xff\xff\xff"), "shorter than its header announces"),
        (patched(write(), 44, b"\xff\xff\xff\xff"), "shorter than its header announces"),
        (encode_transaction(ID, Timestamp(1), dropped=[0]), "zero"),  # type: ignore[list-item]
        # ends that fall, then rise
        (
            patched(
                encode_transaction(ID, Timestamp(1), writes=[(1, KEY, b"v"), (1, KEY + b"2", b"w")]),
                64 + 2,
                struct.pack("<II", 9, 2),
            ),
            "bytes long",
        ),
        (
            patched(
                encode_transaction(ID, Timestamp(1), writes=[(1, KEY, b"v"), (1, KEY + b"2", b"w")]),
                64 + 2 + 8,
                struct.pack("<II", 2, 1),
            ),
            "fall",
        ),
    ],
)
def test_a_record_that_breaks_a_rule_is_malformed(data: bytes, rule: str) -> None:
    with pytest.raises(Malformed, match=rule):
        TransactionRecord(data)


def test_keys_may_come_in_any_order() -> None:
    writes = [(1, KEY + b"2", b"v"), (4, KEY, b""), (1, KEY + b"1", b"w")]
    assert list(TransactionRecord(encode_transaction(ID, Timestamp(1), writes=writes)).writes()) == writes


def test_a_record_of_locks_alone_is_fine() -> None:
    record = TransactionRecord(encode_transaction(ID, Timestamp(1), locks=[(4, KEY)]))
    assert record.keys == []
    assert list(record.locks()) == [(4, KEY)]
