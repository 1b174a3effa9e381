"""The rules about a single record, which are checked twice: in Python, and in C where query processors send them."""

from __future__ import annotations

import struct
from collections.abc import Callable
from contextlib import suppress
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from borealis.adjudicator.core import check_record
from borealis.foundation.errors import Malformed
from borealis.foundation.identifiers import CatalogVersion, Relfilenode, SchemaVersion, Timestamp, TransactionId
from borealis.wire.transaction_record import (
    Operation,
    RelationDelta,
    TransactionRecord,
    decode_outline,
    encode_transaction,
)
from tests.examples import examples
from tests.unit.wire.records import keys, record_parts, records

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


@given(records())
def test_what_obeys_the_rules_passes_in_c_too(data: bytes) -> None:
    check_record(data)


@given(records(), st.data())
def test_mutated_records_are_decoded_or_malformed_and_nothing_else(data: bytes, choose: st.DataObject) -> None:
    """Whatever a hostile sender changes: no other exception, and whatever passes obeys the rules."""
    mutated = bytearray(data)
    for _ in range(choose.draw(st.integers(1, 4))):
        _mutate(mutated, lambda least, most: choose.draw(st.integers(least, most)))
    _check_alike(bytes(mutated))
    with suppress(Malformed):
        decode_outline(bytes(mutated))


def test_both_checks_agree_on_many_mutated_records() -> None:
    random = Random(3)
    passed = 0
    count = examples(20_000)
    for _ in range(count):
        mutated = bytearray(_random_record(random))
        for _ in range(random.randint(1, 3)):
            _mutate(mutated, random.randint)
        passed += _check_alike(bytes(mutated))
    assert 0.05 * count < passed < 0.95 * count


def _random_record(random: Random) -> bytes:
    names = [
        bytes([random.choice((0x10, 0x20)), 0, 0, 0, 1]) + random.randbytes(random.randint(1, 3)) for _ in range(4)
    ]
    entry = random.choice((b"", b"entry"))
    return encode_transaction(
        ID,
        Timestamp(1),
        SchemaVersion(0),
        writes=[
            (operation, key, b"" if operation in (4, 6) else b"v")
            for key, operation in {key: random.randint(1, 6) for key in names[: random.randint(0, 4)]}.items()
        ],
        locks=[(random.randint(1, 4), random.choice(names)) for _ in range(random.randint(0, 2))]
        + [(4, b"\x10\0\0\0\1")] * random.randint(0, 1),
        catalog_entry=entry,
        follows_catalog_version=CatalogVersion(1 if entry else 0),
        invalidates_running=random.random() < 0.5,
        dropped=[Relfilenode(5)] * random.randint(0, 2),
        deltas=[RelationDelta(Relfilenode(5), 1, 1)] * random.randint(0, 2),
    )


def _mutate(data: bytearray, draw: Callable[[int, int], int]) -> None:
    match draw(0, 5):
        case 0 if data:
            data[draw(0, len(data) - 1)] = draw(0, 255)
        case 1 if data:
            data[draw(0, len(data) - 1)] ^= 1 << draw(0, 7)
        case 2:
            del data[draw(max(0, len(data) - 8), len(data)) :]
        case 3:
            data += bytes(draw(0, 1) for _ in range(draw(1, 8)))
        case 4 if len(data) >= 68:
            # an end, or another length, most likely
            struct.pack_into("<I", data, draw(64, len(data) - 4), draw(0, 40))
        case _ if len(data) >= 64:
            field = 40 + 4 * draw(0, 5)
            struct.pack_into("<I", data, field, (0, 1, 2, 3, 2**31, 2**32 - 1)[draw(0, 5)])


def _check_alike(data: bytes) -> bool:
    """Whether the record passes both checks; fails if it passes one of them only, or breaks a rule."""
    verdicts = [_is_sound(check, data) for check in (TransactionRecord, check_record)]
    assert verdicts[0] == verdicts[1], data.hex()
    if verdicts[0]:
        _check_rules(TransactionRecord(data))
    return verdicts[0]


def _is_sound(check: Callable[[bytes], object], data: bytes) -> bool:
    try:
        check(data)
    except Malformed:
        return False
    return True


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
    for check in (TransactionRecord, check_record):
        with pytest.raises(Malformed, match=rule):
            check(data)


def test_keys_may_come_in_any_order() -> None:
    writes = [(1, KEY + b"2", b"v"), (4, KEY, b""), (1, KEY + b"1", b"w")]
    data = encode_transaction(ID, Timestamp(1), writes=writes)
    check_record(data)
    assert list(TransactionRecord(data).writes()) == writes


@given(st.lists(keys(), min_size=2, max_size=40), st.booleans())
def test_a_key_that_occurs_twice_is_found_in_any_order(names: list[bytes], is_ascending: bool) -> None:
    writes = [(1, key, b"v") for key in (sorted(names) if is_ascending else names)]
    assert _check_alike(encode_transaction(ID, Timestamp(1), writes=writes)) == (len(set(names)) == len(names))


def test_a_record_of_locks_alone_is_fine() -> None:
    record = TransactionRecord(encode_transaction(ID, Timestamp(1), locks=[(4, KEY)]))
    assert record.keys == []
    assert list(record.locks()) == [(4, KEY)]
