"""Dependencies between transactions, and the cycles among them that snapshot isolation forbids.

Forbidden are the cycles in which no two rw dependencies follow each other. They are found in a graph with two nodes
for each transaction, "entered by rw" and "entered otherwise": rw edges leave only the latter, so that a walk cannot
take two in a row, and a cycle of this graph is a forbidden cycle, and the other way round.

Real time needs no quadratic number of edges: moments form a chain; who ended leads to its moment, and the last moment
before a beginning leads to who began.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from dataclasses import dataclass
from enum import Enum


class Kind(Enum):
    WW = "ww"
    WR = "wr"
    RW = "rw"
    RT = "rt"


@dataclass(frozen=True)
class Dependency:
    kind: Kind
    source: int
    target: int
    reason: str


# A transaction entered by rw or otherwise, or a moment of the chain.
_Node = tuple[str, int, bool]


def _moment(number: int) -> _Node:
    return ("moment", number, False)


def _transaction(number: int, by_rw: bool) -> _Node:
    return ("transaction", number, by_rw)


class DependencyGraph:
    """Transactions first, then the dependencies between them, then `forbidden_cycle`."""

    def __init__(self) -> None:
        self._spans: dict[int, tuple[int, int | None]] = {}
        self._dependencies: list[Dependency] = []

    def add_transaction(self, number: int, began_ns: int, ended_ns: int | None) -> None:
        """`ended_ns` is None when the end was never seen."""
        self._spans[number] = (began_ns, ended_ns)

    def add(self, dependency: Dependency) -> None:
        if dependency.source != dependency.target:
            self._dependencies.append(dependency)

    def forbidden_cycle(self) -> list[Dependency]:
        """A shortest forbidden cycle through some transaction; empty if there is none."""
        edges = self._edges()
        for component in _strong_components(edges):
            if len(component) > 1:
                return _shortest_cycle(edges, component)
        return []

    def _edges(self) -> dict[_Node, list[tuple[_Node, Dependency | None]]]:
        edges: dict[_Node, list[tuple[_Node, Dependency | None]]] = {}

        def add(source: _Node, target: _Node, dependency: Dependency | None = None) -> None:
            edges.setdefault(source, []).append((target, dependency))
            edges.setdefault(target, [])

        for dependency in self._dependencies:
            if dependency.kind is not Kind.RW:
                target = _transaction(dependency.target, False)
                add(_transaction(dependency.source, True), target, dependency)
                add(_transaction(dependency.source, False), target, dependency)
            else:
                add(_transaction(dependency.source, False), _transaction(dependency.target, True), dependency)
        moments = sorted({ended for _, ended in self._spans.values() if ended is not None})
        for number in range(1, len(moments)):
            add(_moment(number - 1), _moment(number))
        for number, (began, ended) in self._spans.items():
            if ended is not None:
                for by_rw in (False, True):
                    add(_transaction(number, by_rw), _moment(bisect_left(moments, ended)))
            if before := bisect_left(moments, began):
                add(_moment(before - 1), _transaction(number, False))
        return edges


def _strong_components(edges: dict[_Node, list[tuple[_Node, Dependency | None]]]) -> list[list[_Node]]:
    """Tarjan's algorithm, without recursion: histories are longer than the stack is deep."""
    index: dict[_Node, int] = {}
    low: dict[_Node, int] = {}
    stack: list[_Node] = []
    on_stack: set[_Node] = set()
    components: list[list[_Node]] = []
    for root in edges:
        if root in index:
            continue
        index[root] = low[root] = len(index)
        stack.append(root)
        on_stack.add(root)
        walk = [(root, iter(edges[root]))]
        while walk:
            node, targets = walk[-1]
            for target, _ in targets:
                if target not in index:
                    index[target] = low[target] = len(index)
                    stack.append(target)
                    on_stack.add(target)
                    walk.append((target, iter(edges[target])))
                    break
                if target in on_stack:
                    low[node] = min(low[node], index[target])
            else:
                walk.pop()
                if walk:
                    low[walk[-1][0]] = min(low[walk[-1][0]], low[node])
                if low[node] == index[node]:
                    component: list[_Node] = []
                    while not component or component[-1] != node:
                        component.append(stack.pop())
                        on_stack.discard(component[-1])
                    components.append(component)
    return components


def _shortest_cycle(
    edges: dict[_Node, list[tuple[_Node, Dependency | None]]], component: list[_Node]
) -> list[Dependency]:
    members = set(component)
    best: list[tuple[_Node, _Node, Dependency | None]] = []
    for start in component:
        if start[0] == "moment":
            continue
        came: dict[_Node, tuple[_Node, Dependency | None]] = {}
        queue = deque([start])
        while queue and start not in came:
            node = queue.popleft()
            for target, dependency in edges[node]:
                if target in members and target not in came:
                    came[target] = (node, dependency)
                    queue.append(target)
        path: list[tuple[_Node, _Node, Dependency | None]] = []
        node = start
        while not path or node != start:
            source, dependency = came[node]
            path.append((source, node, dependency))
            node = source
        path.reverse()
        if not best or len(path) < len(best):
            best = path
    return _without_moments(best)


def _without_moments(path: list[tuple[_Node, _Node, Dependency | None]]) -> list[Dependency]:
    """The cycle as dependencies: a run of moments between two transactions is one of real time."""
    cycle: list[Dependency] = []
    ended: int | None = None
    for source, target, dependency in path:
        if dependency is not None:
            cycle.append(dependency)
            continue
        if source[0] == "transaction":
            ended = source[1]
        if target[0] == "transaction":
            assert ended is not None
            cycle.append(Dependency(Kind.RT, ended, target[1], "ended before the other began"))
    return cycle
