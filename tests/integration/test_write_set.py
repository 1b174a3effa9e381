"""The write set in C does what a naive model does, for generated scripts of writes, locks and subtransactions.

The model keeps plain lists, copies all of them at the start of a subtransaction, and puts the copy back on rollback.
"""

from __future__ import annotations

import copy
import random
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.cluster import Connection
from tests.integration.c_units import build_units, units_server
from tests.integration.plain_server import connect

INSERT, UPDATE, KEY_UPDATE, DELETE, INDEX_PUT, INDEX_DELETE = range(1, 7)
EXCLUSIVE = 4
INVALID_COMMAND = 0xFFFFFFFF
REPLACED_SIZE = 10  # what the script says about every version that replaces something

Operation = tuple[object, ...]


@dataclass
class Version:
    number: int
    operation: int
    command: int
    size: int


@dataclass
class Record:
    writes: list[tuple[int, bytes, bytes]] = field(default_factory=list)
    locks: list[tuple[int, bytes]] = field(default_factory=list)
    catalog_entry: bytes = b""
    dropped: list[int] = field(default_factory=list)
    deltas: list[tuple[int, int, int]] = field(default_factory=list)


@dataclass
class State:
    """What a rollback restores."""

    versions: dict[bytes, list[Version]] = field(default_factory=dict)  # oldest first
    locks: dict[bytes, int] = field(default_factory=dict)
    dropped: list[int] = field(default_factory=list)


def relfilenode(key: bytes) -> int:
    return int.from_bytes(key[1:5], "big")


def net_write(versions: Sequence[Version]) -> int | None:
    """The operation that leads from the committed state to the newest version; None if there is none."""
    had_committed = versions[0].operation not in (INSERT, INDEX_PUT)
    newest = versions[-1].operation
    if newest in (DELETE, INDEX_DELETE):
        return newest if had_committed else None
    if newest == INDEX_PUT:
        return INDEX_PUT
    if not had_committed:
        return INSERT
    return UPDATE if all(version.operation == UPDATE for version in versions) else KEY_UPDATE


class Model:
    def __init__(self) -> None:
        self.state = State()
        self.saved: list[State] = []
        self.keys: set[bytes] = set()
        self.numbers = 0

    def answer(self, operation: Operation) -> str:
        verb, *operands = operation
        return str(getattr(self, str(verb))(*operands))

    def put(self, key: bytes, operation: int, command: int, size: int) -> str:
        self.keys.add(key)
        self.state.versions.setdefault(key, []).append(Version(self.numbers, operation, command, size))
        self.numbers += 1
        return str(self.numbers - 1)

    def lock(self, key: bytes, mode: int) -> str:
        self.keys.add(key)
        self.state.locks[key] = max(mode, self.state.locks.get(key, 0))
        return ""

    def start(self) -> str:
        self.saved.append(copy.deepcopy(self.state))
        return ""

    def commit(self) -> str:
        self.saved.pop()
        return ""

    def abort(self) -> str:
        self.state = self.saved.pop()
        return ""

    def drop(self, number: int) -> str:
        self.state.dropped.append(number)
        return ""

    def describe(self, key: bytes, position: int) -> str:
        stack = self.state.versions[key]
        version = stack[position]
        replaced_by = stack[position + 1].command if position + 1 < len(stack) else INVALID_COMMAND
        return f"{version.number} {version.operation} {version.command} {replaced_by} {version.size} {key.hex()}"

    def visible(self, key: bytes, command: int) -> str:
        stack = self.state.versions.get(key, [])
        seen = [position for position, version in enumerate(stack) if version.command < command]
        return self.describe(key, seen[-1]) if seen else "-"

    def version(self, number: int) -> str:
        for key, stack in self.state.versions.items():
            for position, version in enumerate(stack):
                if version.number == number:
                    return self.describe(key, position)
        return "-"

    def seek(self, key: bytes, exclusive: bool) -> str:
        found = [other for other in self.keys if other > key or (other == key and not exclusive)]
        return min(found).hex() if found else "-"

    def before(self, key: bytes, inclusive: bool) -> str:
        found = [other for other in self.keys if other < key or (other == key and inclusive)]
        return max(found).hex() if found else "-"

    def scan(self) -> str:
        return "".join(f"{key.hex()} " for key in sorted(self.keys))

    def live(self) -> Iterator[tuple[bytes, list[Version]]]:
        return ((key, stack) for key, stack in sorted(self.state.versions.items()) if stack)

    def size(self) -> str:
        writes = sum(9 + len(key) + stack[-1].size for key, stack in self.live())
        locks = sum(5 + len(key) for key in self.state.locks)
        return f"{int(not any(True for _ in self.live()) and not self.state.locks)} {writes + locks}"

    def record(self) -> Record:
        result = Record(catalog_entry=b"ddl", dropped=sorted(set(self.state.dropped)))
        deltas: dict[int, list[int]] = {}
        locks = dict(self.state.locks)
        for key, stack in self.live():
            if relfilenode(key) in self.state.dropped:
                continue
            newest = stack[-1]
            net = net_write(stack)
            if net is None:
                if newest.operation == DELETE:
                    locks[key] = EXCLUSIVE
                continue
            result.writes.append((net, key, bytes([newest.number & 0xFF]) * newest.size))
            covered = {INSERT: 4, UPDATE: 3, KEY_UPDATE: 4, DELETE: 4}.get(net, 0)
            if locks.get(key, 0) <= covered:
                locks.pop(key, None)
            delta = deltas.setdefault(relfilenode(key), [0, 0])
            is_new, is_gone = stack[0].operation in (INSERT, INDEX_PUT), net in (DELETE, INDEX_DELETE)
            delta[0] += is_new - is_gone
            delta[1] += (0 if is_gone else newest.size + len(key)) - (0 if is_new else REPLACED_SIZE + len(key))
        result.locks = [
            (mode, key) for key, mode in sorted(locks.items()) if relfilenode(key) not in self.state.dropped
        ]
        result.deltas = [(number, *delta) for number, delta in sorted(deltas.items()) if any(delta)]  # type: ignore[misc]
        return result


def take_keys(ends: Sequence[int], blob: bytes) -> list[bytes]:
    return [blob[start:end] for start, end in zip([0, *ends], ends, strict=False)]


def parse_record(answer: str) -> Record:
    """Reads the record's sections (docs/formats.md); every byte must belong to one."""
    *counts, digits = answer.split(" ")
    writes, locks, dropped, deltas = (int(count) for count in counts)
    data = memoryview(bytes.fromhex(digits))
    position = 0

    def take(size: int) -> bytes:
        nonlocal position
        position += size
        assert position <= len(data)
        return bytes(data[position - size : position])

    def take_numbers(count: int) -> tuple[int, ...]:
        return struct.unpack(f"<{count}I", take(4 * count))

    operations = take(writes)
    key_ends, value_ends = take_numbers(writes), take_numbers(writes)
    keys = take_keys(key_ends, take(key_ends[-1] if writes else 0))
    values = take_keys(value_ends, take(value_ends[-1] if writes else 0))
    modes = take(locks)
    lock_ends = take_numbers(locks)
    lock_keys = take_keys(lock_ends, take(lock_ends[-1] if locks else 0))
    record = Record(
        writes=list(zip(operations, keys, values, strict=True)),
        locks=list(zip(modes, lock_keys, strict=True)),
        catalog_entry=take(3),
        dropped=list(take_numbers(dropped)),
        deltas=[struct.unpack("<Iqq", take(20)) for _ in range(deltas)],
    )
    assert position == len(data)
    return record


def script_line(operation: Operation) -> str:
    words = (word.hex() if isinstance(word, bytes) else str(int(word)) for word in operation[1:])  # type: ignore[call-overload]
    return " ".join([str(operation[0]), *words])


def run(connection: Connection, operations: Sequence[Operation]) -> list[str]:
    script = "".join(f"{script_line(operation)}\n" for operation in operations)
    row = connection.execute("SELECT units.write_set_run(%s)", [script]).fetchone()
    assert row is not None
    return str(row[0]).split("\n")[:-1]


def assert_same(connection: Connection, operations: Sequence[Operation]) -> None:
    model = Model()
    for operation, answer in zip(operations, run(connection, operations), strict=True):
        if operation[0] == "record":
            assert parse_record(answer) == model.record(), operation
        else:
            assert answer == model.answer(operation), operation


@pytest.fixture(scope="module")
def connection() -> Iterator[Connection]:
    with units_server(build_units()) as folder, connect(folder) as connection:
        yield connection


def row_key(number: int, table: int = 1) -> bytes:
    return struct.pack(">BIIB", 0x10, table, 77, 2) + struct.pack(">Q", number)


def index_key(number: int, index: int = 11) -> bytes:
    return struct.pack(">BIB", 0x20, index, 2) + struct.pack(">Q", number)


# One key of an index begins like the unique value that is locked with it.
KEYS = [
    row_key(1),
    row_key(2),
    row_key(3),
    row_key(1, table=2),
    index_key(1),
    index_key(1)[:-1],
    index_key(2),
    index_key(1, 12),
]
RELFILENODES = sorted({relfilenode(key) for key in KEYS})


@st.composite
def scripts(draw: st.DrawFn) -> list[Operation]:
    keys = st.sampled_from(KEYS)
    result: list[Operation] = []
    depth = command = puts = 0
    for verb in draw(
        st.lists(st.sampled_from(["put"] * 6 + ["lock", "start", "start", "end", "end", "drop", "look"]), max_size=60)
    ):
        command += draw(st.integers(0, 1))
        if verb == "put":
            key = draw(keys)
            kind = draw(
                st.sampled_from([INSERT, UPDATE, KEY_UPDATE, DELETE] if key[0] == 0x10 else [INDEX_PUT, INDEX_DELETE])
            )
            size = 0 if kind in (DELETE, INDEX_DELETE) else draw(st.integers(1, 20))
            result.append(("put", key, kind, command, size))
            puts += 1
        elif verb == "lock":
            result.append(("lock", draw(keys), draw(st.integers(1, 4))))
        elif verb == "start":
            result.append(("start",))
            depth += 1
        elif verb == "end" and depth > 0:
            result.append((draw(st.sampled_from(["commit", "abort"])),))
            depth -= 1
        elif verb == "drop":
            result.append(("drop", draw(st.sampled_from(RELFILENODES))))
        elif verb == "look":
            result += look_at_everything(puts, draw(st.sampled_from([command, command + 1])))
    return [*result, *look_at_everything(puts, command), ("scan",)]


def look_at_everything(puts: int, command: int) -> list[Operation]:
    result: list[Operation] = [("version", number) for number in range(puts + 1)]
    result += [("visible", key, one) for key in KEYS for one in (command, INVALID_COMMAND)]
    result += [(verb, key, flag) for verb in ("seek", "before") for key in KEYS for flag in (False, True)]
    return [*result, ("size",), ("record",)]


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(scripts())
def test_scripts_answer_like_the_model(connection: Connection, script: list[Operation]) -> None:
    assert_same(connection, script)


@pytest.mark.parametrize("seed", range(3))
def test_many_keys_stay_in_order(connection: Connection, seed: int) -> None:
    """Runs of ascending keys in several relations at once, and random ones between them: the fingers' case."""
    choice = random.Random(seed)
    nexts = dict.fromkeys(range(40), 0)
    script: list[Operation] = []
    for command in range(20_000):
        table = choice.randrange(len(nexts))
        if choice.random() < 0.7:
            nexts[table] += choice.randrange(1, 50)
            number = nexts[table]
        else:
            number = choice.randrange(1 << 20)
        script.append(("put", row_key(number, table), UPDATE, command, 1))
    probes = [row_key(choice.randrange(1 << 20), choice.randrange(len(nexts))) for _ in range(50)]
    script += [("seek", key, False) for key in probes]
    script += [("before", key, False) for key in probes]
    script += [("visible", key, INVALID_COMMAND) for key in probes]
    script += [("scan",), ("size",), ("record",)]
    assert_same(connection, script)


def test_values_survive_the_growth_and_rewinding_of_memory(connection: Connection) -> None:
    """Values of all sizes around blocks of memory, most of them rolled back; every read checks the value's bytes."""
    choice = random.Random(7)
    script: list[Operation] = []
    kept: list[int] = []
    number = 0
    for command in range(300):
        rolled_back = choice.random() < 0.5
        script.append(("start",))
        for _ in range(choice.randrange(4)):
            script.append(("put", row_key(number), INSERT, command, choice.choice([1, 100, 16_384, 100_000])))
            if not rolled_back:
                kept.append(number)
            number += 1
        script.append(("abort" if rolled_back else "commit",))
    script += [("version", one) for one in range(number + 1)]
    answers = run(connection, script)[-number - 1 :]
    assert [one for one, answer in enumerate(answers) if answer != "-"] == kept


def test_a_number_is_not_used_again(connection: Connection) -> None:
    script: list[Operation] = [
        ("start",),
        ("put", row_key(1), INSERT, 1, 5),
        ("abort",),
        ("put", row_key(2), INSERT, 2, 5),
    ]
    assert_same(connection, [*script, ("version", 0), ("version", 1)])
    assert run(connection, script)[-1] == "1"


def test_deep_nesting_ends_in_linear_time(connection: Connection) -> None:
    """A thousand levels, each with a write, rolled back one after the other."""
    script: list[Operation] = []
    for level in range(1000):
        script += [("start",), ("put", row_key(level), INSERT, level, 5), ("lock", row_key(0), 1 + level % 4)]
    assert_same(connection, [*script, *[("abort",)] * 1000, ("size",), ("record",)])


@pytest.mark.parametrize(
    ("operations", "net"),
    [
        ([INSERT], INSERT),
        ([INSERT, UPDATE], INSERT),
        ([INSERT, KEY_UPDATE], INSERT),
        ([INSERT, DELETE], "lock"),
        ([INSERT, DELETE, INSERT], INSERT),
        ([UPDATE], UPDATE),
        ([UPDATE, UPDATE], UPDATE),
        ([UPDATE, KEY_UPDATE], KEY_UPDATE),
        ([KEY_UPDATE, UPDATE], KEY_UPDATE),
        ([UPDATE, DELETE], DELETE),
        ([DELETE], DELETE),
        ([DELETE, INSERT], KEY_UPDATE),
        ([DELETE, INSERT, UPDATE], KEY_UPDATE),
        ([DELETE, INSERT, DELETE], DELETE),
        ([INDEX_PUT], INDEX_PUT),
        ([INDEX_PUT, INDEX_DELETE], None),
        ([INDEX_PUT, INDEX_DELETE, INDEX_PUT], INDEX_PUT),
        ([INDEX_DELETE], INDEX_DELETE),
        ([INDEX_DELETE, INDEX_PUT], INDEX_PUT),
        ([INDEX_DELETE, INDEX_PUT, INDEX_DELETE], INDEX_DELETE),
    ],
)
def test_net_effect(connection: Connection, operations: list[int], net: int | str | None) -> None:
    """The rule spelled out, against one wrong idea shared by the model and the C code."""
    key = index_key(1) if operations[0] >= INDEX_PUT else row_key(1)
    script: list[Operation] = [
        ("put", key, operation, command, 0 if operation in (DELETE, INDEX_DELETE) else 5)
        for command, operation in enumerate(operations)
    ]
    record = parse_record(run(connection, [*script, ("record",)])[-1])
    assert [write[0] for write in record.writes] == ([net] if isinstance(net, int) else [])
    assert record.locks == ([(EXCLUSIVE, key)] if net == "lock" else [])


def test_a_record_beyond_the_limit_is_refused(connection: Connection) -> None:
    script: list[Operation] = [("put", row_key(1), INSERT, 1, 1000), ("record",)]
    size = 64 + len(run(connection, script)[-1].split(" ")[-1]) // 2
    connection.execute("SELECT units.configure('', 0, 0, false, %s)", [size])
    run(connection, script)
    connection.execute("SELECT units.configure('', 0, 0, false, %s)", [size - 1])
    with pytest.raises(psycopg.errors.ProgramLimitExceeded, match="transaction size limit exceeded"):
        run(connection, script)
    connection.execute("SELECT units.configure('', 0, 0, false, %s)", [(1 << 63) - 1])
