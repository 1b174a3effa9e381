from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from borealis.foundation.errors import Malformed
from borealis.foundation.identifiers import CatalogVersion, Epoch, Position, Relfilenode, SchemaVersion, Timestamp
from borealis.wire.journal_batch import (
    BATCH_HEADER_BYTES,
    Checkpoint,
    JournalRecord,
    RecordKind,
    SequenceReservation,
    batch_length,
    decode_batch,
    decode_batch_header,
    decode_checkpoint,
    decode_reservations,
    encode_batch,
    encode_checkpoint,
    encode_reservations,
)
from borealis.wire.journal_messages import (
    Applied,
    decode_applied,
    decode_position,
    encode_applied,
    encode_position,
)

U64 = st.integers(0, 2**64 - 1)
RECORDS = st.lists(
    st.builds(
        JournalRecord,
        st.sampled_from(RecordKind).map(int),
        U64.map(Timestamp),
        U64.map(CatalogVersion),
        st.binary(max_size=40),
    ),
    min_size=1,
    max_size=5,
)
RESERVATIONS = st.lists(
    st.builds(
        SequenceReservation,
        st.integers(1, 2**32 - 1).map(Relfilenode),
        st.booleans(),
        st.integers(-(2**63), 2**63 - 1),
    ),
    max_size=4,
)


@given(RECORDS, U64, U64)
def test_a_batch_is_decoded_to_what_was_encoded(records: list[JournalRecord], position: int, epoch: int) -> None:
    data = encode_batch(Position(position), Epoch(epoch), records)
    batch = decode_batch(data)
    assert len(data) % 8 == 0
    assert len(data) == batch_length([len(record.payload) for record in records])
    assert batch.header.position == position
    assert batch.header.epoch == epoch
    assert batch.header.end == position + len(data)
    assert [record._replace(payload=bytes(record.payload)) for record in batch.records] == records


@given(RECORDS, st.data())
def test_a_flipped_bit_is_found_wherever_it_is(records: list[JournalRecord], choose: st.DataObject) -> None:
    data = bytearray(encode_batch(Position(64), Epoch(1), records))
    at = choose.draw(st.integers(0, len(data) - 1))
    data[at] ^= 1 << choose.draw(st.integers(0, 7))
    with pytest.raises(Malformed):
        decode_batch(data)


@given(RECORDS)
def test_a_batch_cut_anywhere_is_malformed(records: list[JournalRecord]) -> None:
    data = encode_batch(Position(64), Epoch(1), records)
    for length in range(len(data)):
        with pytest.raises(Malformed):
            decode_batch(data[:length])


@given(st.binary(max_size=200))
def test_garbage_is_malformed_and_nothing_else(data: bytes) -> None:
    for decode in (
        decode_batch,
        decode_batch_header,
        decode_checkpoint,
        decode_reservations,
        decode_applied,
        decode_position,
    ):
        with suppress(Malformed):
            decode(data)


@given(RESERVATIONS, st.tuples(U64, U64, U64, U64, U64))
def test_checkpoints_survive(reservations: list[SequenceReservation], numbers: tuple[int, ...]) -> None:
    previous_end, last, catalog, schema, transactions = numbers
    checkpoint = Checkpoint(
        Position(previous_end),
        Timestamp(last),
        CatalogVersion(catalog),
        SchemaVersion(schema),
        transactions,
        reservations,
    )
    assert decode_checkpoint(encode_checkpoint(checkpoint)) == checkpoint
    assert decode_reservations(encode_reservations(reservations)) == reservations


def test_the_header_is_as_long_as_the_formats_say() -> None:
    assert BATCH_HEADER_BYTES == 40


@given(U64, U64)
def test_positions_and_reports_survive(position: int, timestamp: int) -> None:
    assert decode_position(encode_position(Position(position))) == position
    applied = Applied(Position(position), Timestamp(timestamp))
    assert decode_applied(encode_applied(applied)) == applied
