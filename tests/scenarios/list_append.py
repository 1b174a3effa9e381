"""Checker of list-append histories, after Kingsbury and Alvaro, "Elle: inferring isolation anomalies from experimental
observations" (VLDB 2020), for strong snapshot isolation.

Each transaction appends unique values to lists and reads whole lists. What was read tells the order of the appends to
each list, and from that follow the dependencies between transactions:

    ww   the second appended directly after the first
    wr   the second read a list that ends with what the first appended
    rw   the second appended directly after what the first read
    rt   the first had ended before the second began (real time)

Snapshot isolation forbids exactly the cycles without two adjacent rw dependencies (Cerone and Gotsman, "Analysing
snapshot isolation", JACM 2018: (ww | wr | rt) ; rw? is acyclic); with rt among the dependencies it is the strong form.
Besides cycles the checker reports what no isolation level allows: aborted, intermediate, unborn, duplicate and lost
values, orders that contradict each other, and transactions applied by halves.

Promises: pure, deterministic, and no false alarm: an attempt whose outcome is unknown counts as committed only if
somebody saw one of its values. Assumes that a last transaction has read every list, after all others had ended.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from tests.scenarios.dependency_graph import Dependency, DependencyGraph, Kind
from tests.scenarios.history import Attempt, Outcome


@dataclass(frozen=True)
class Append:
    key: int
    value: int


@dataclass(frozen=True)
class Read:
    key: int
    values: tuple[int, ...]


Transaction = tuple[Append | Read, ...]


@dataclass(frozen=True)
class Anomaly:
    kind: str
    detail: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.detail}"


@dataclass
class _Facts:
    """What the history says before any graph is drawn."""

    attempts: Sequence[Attempt[Transaction]]
    writer: dict[tuple[int, int], int] = field(default_factory=dict)
    order: dict[int, tuple[int, ...]] = field(default_factory=dict)
    anomalies: list[Anomaly] = field(default_factory=list)

    def report(self, kind: str, detail: str) -> None:
        self.anomalies.append(Anomaly(kind, detail))

    def reads(self) -> Iterable[tuple[int, Read]]:
        """Every read by a transaction that has committed, with the number of its attempt."""
        for number, attempt in enumerate(self.attempts):
            if attempt.is_committed:
                for operation in attempt.work:
                    if isinstance(operation, Read):
                        yield number, operation


def check(attempts: Sequence[Attempt[Transaction]]) -> list[Anomaly]:
    """Every anomaly of a history, the most basic kinds first; empty if it is strongly snapshot isolated."""
    facts = _Facts(attempts)
    _learn_writers(facts)
    _learn_orders(facts)
    _check_reads(facts)
    present = _check_presence(facts)
    if not facts.anomalies:
        cycle = _graph(facts, present).forbidden_cycle()
        if cycle:
            facts.report(*_describe(cycle, attempts))
    return facts.anomalies


def _learn_writers(facts: _Facts) -> None:
    for number, attempt in enumerate(facts.attempts):
        for operation in attempt.work:
            if isinstance(operation, Append):
                identity = (operation.key, operation.value)
                if identity in facts.writer:
                    raise ValueError(f"the workload appended {operation} twice")
                facts.writer[identity] = number


def _learn_orders(facts: _Facts) -> None:
    """The longest list read of each key is its order; every other must be its beginning."""
    for _, read in facts.reads():
        if len(read.values) > len(facts.order.get(read.key, ())):
            facts.order[read.key] = read.values
    for number, read in facts.reads():
        longest = facts.order.get(read.key, ())
        if read.values != longest[: len(read.values)]:
            facts.report("incompatible order", f"T{number} read {read.values} of {read.key}, another {longest}")
    for key, values in facts.order.items():
        if len(set(values)) != len(values):
            facts.report("duplicate", f"list {key} holds a value twice: {values}")


def _check_reads(facts: _Facts) -> None:
    last_append = {
        number: {op.key: op.value for op in attempt.work if isinstance(op, Append)}
        for number, attempt in enumerate(facts.attempts)
    }
    for number, read in facts.reads():
        for value in read.values:
            writer = facts.writer.get((read.key, value))
            if writer is None:
                facts.report("unborn value", f"T{number} read {value} of {read.key}, which nobody appended")
            elif facts.attempts[writer].outcome is Outcome.REJECTED:
                facts.report(
                    "G1a aborted read", f"T{number} read {value} of {read.key} by T{writer}, which was rejected"
                )
        if read.values:
            newest = read.values[-1]
            writer = facts.writer.get((read.key, newest))
            if writer not in (None, number) and last_append[writer][read.key] != newest:
                facts.report("G1b intermediate read", f"T{number} read {newest} of {read.key} from within T{writer}")
    for number, attempt in enumerate(facts.attempts):
        if attempt.is_committed:
            _check_own_writes(facts, number, attempt.work)


def _check_own_writes(facts: _Facts, number: int, work: Transaction) -> None:
    """Within a transaction a list is its first state plus what the transaction itself has appended since."""
    base: dict[int, tuple[int, ...]] = {}
    appended: dict[int, list[int]] = {}
    for operation in work:
        own = appended.setdefault(operation.key, [])
        if isinstance(operation, Append):
            own.append(operation.value)
            continue
        values, mine = operation.values, tuple(own)
        before = values[: len(values) - len(mine)]
        if values[len(before) :] != mine or base.setdefault(operation.key, before) != before:
            facts.report("internal", f"T{number} read {values} of {operation.key} after appending {mine} itself")


def _check_presence(facts: _Facts) -> set[int]:
    """Numbers of the attempts that took effect: a committed one is there, an unknown one wholly or not at all."""
    seen = {(key, value) for key, values in facts.order.items() for value in values}
    present = set()
    for number, attempt in enumerate(facts.attempts):
        appends = [(op.key, op.value) for op in attempt.work if isinstance(op, Append)]
        missing = [append for append in appends if append not in seen]
        if attempt.is_committed:
            present.add(number)
            if missing:
                facts.report("lost append", f"T{number} has committed, but {missing} are nowhere")
        elif attempt.outcome is Outcome.UNKNOWN and len(missing) < len(appends):
            present.add(number)
            if missing:
                facts.report("half applied", f"of T{number} (unknown outcome) {missing} are missing")
    return present


def _graph(facts: _Facts, present: set[int]) -> DependencyGraph:
    graph = DependencyGraph()
    for number in sorted(present):
        attempt = facts.attempts[number]
        graph.add_transaction(number, attempt.began_ns, attempt.ended_ns if attempt.is_committed else None)
    for key, values in facts.order.items():
        for earlier, later in pairwise(values):
            graph.add(Dependency(Kind.WW, facts.writer[key, earlier], facts.writer[key, later], f"list {key}"))
    for number, read in facts.reads():
        order = facts.order.get(read.key, ())
        if read.values:
            graph.add(Dependency(Kind.WR, facts.writer[read.key, read.values[-1]], number, f"list {read.key}"))
        if len(read.values) < len(order):
            following = facts.writer[read.key, order[len(read.values)]]
            graph.add(Dependency(Kind.RW, number, following, f"list {read.key}"))
    return graph


def _describe(cycle: list[Dependency], attempts: Sequence[Attempt[Transaction]]) -> tuple[str, str]:
    kinds = [dependency.kind for dependency in cycle]
    anti = kinds.count(Kind.RW)
    name = {0: "G1c" if Kind.WR in kinds else "G0", 1: "G-single"}.get(anti, "G-nonadjacent")
    if Kind.RT in kinds:
        name += "-realtime"
    lines = [f"T{d.source} -{d.kind.value}-> T{d.target} ({d.reason})" for d in cycle]
    involved = sorted({dependency.source for dependency in cycle})
    lines += [f"T{number} = {attempts[number]}" for number in involved]
    return name, "\n  ".join(["", *lines])
