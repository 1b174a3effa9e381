"""Which backend serves which session: the policy of the pool.

Sessions wait in queues, one for each kind of backend (role and startup parameters, which a backend cannot change).
Promises: first come, first served within a kind; a backend whose state is already the session's is preferred; no kind
starves while another has more than its share; nothing is opened that nobody waits for, and what is idle too long is
closed. I/O is given as callables, the time with each event. `serve` may call back, because it is always the last thing
done; the others may not. Pure otherwise.
"""

from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

from borealis.front.settings import FrontSettings


class PooledBackend(Protocol):
    @property
    def state(self) -> object:
        """The session state that it has; compared by identity."""


K = TypeVar("K", bound=Hashable)
B = TypeVar("B", bound=PooledBackend)
C = TypeVar("C", bound=Hashable)


@dataclass(slots=True)
class _Waiting:
    since_ns: int
    state: object


@dataclass(slots=True)
class _Kind(Generic[B, C]):
    """`free` from the least to the most recently used, with the time of their last use."""

    waiting: "OrderedDict[C, _Waiting]" = field(default_factory=OrderedDict)
    free: dict[B, int] = field(default_factory=dict)
    opening: int = 0
    open: int = 0

    @property
    def total(self) -> int:
        return self.opening + self.open


class Pool(Generic[K, B, C]):
    """K names a kind, B is a backend, C a customer: a session, or work of our own."""

    def __init__(
        self,
        settings: FrontSettings,
        connect: Callable[[K], None],
        disconnect: Callable[[B], None],
        serve: Callable[[C, B], None],
    ) -> None:
        self._settings = settings
        self._connect = connect
        self._disconnect = disconnect
        self._serve = serve
        self._kinds: dict[K, _Kind[B, C]] = {}
        self._total = 0

    @property
    def backends(self) -> int:
        """Open or opening."""
        return self._total

    @property
    def has_waiting(self) -> bool:
        return any(kind.waiting for kind in self._kinds.values())

    def want(self, customer: C, key: K, state: object, now_ns: int) -> bool:
        """Serve it as soon as possible; whether that was at once."""
        kind = self._kinds.get(key)
        if kind is None:
            kind = self._kinds[key] = _Kind()
        if kind.free and not kind.waiting:
            self._take(kind, customer, state)
            return True
        kind.waiting[customer] = _Waiting(now_ns, state)
        self._grow(key, kind, now_ns)
        return False

    def withdraw(self, customer: C, key: K) -> None:
        """It does not wait any more, if it did."""
        kind = self._kinds.get(key)
        if kind is not None:
            kind.waiting.pop(customer, None)
            self._forget_if_unused(key, kind)

    def waiting(self, key: K) -> list[C]:
        kind = self._kinds.get(key)
        return list(kind.waiting) if kind is not None else []

    def opened(self, backend: B, key: K, now_ns: int) -> None:
        """A connection that was asked for is ready."""
        kind = self._kinds[key]
        kind.opening -= 1
        kind.open += 1
        self._offer(backend, key, kind, now_ns)

    def failed(self, key: K) -> list[C]:
        """A connection that was asked for could not be made: who waited for its kind and will not be served."""
        kind = self._kinds[key]
        kind.opening -= 1
        self._total -= 1
        refused = list(kind.waiting) if kind.total == 0 else []
        for customer in refused:
            del kind.waiting[customer]
        self._forget_if_unused(key, kind)
        return refused

    def give_back(self, backend: B, key: K, now_ns: int) -> None:
        self._offer(backend, key, self._kinds[key], now_ns)

    def lost(self, backend: B, key: K, now_ns: int) -> None:
        """It is gone, whether it was free or served somebody."""
        kind = self._kinds[key]
        kind.free.pop(backend, None)
        kind.open -= 1
        self._total -= 1
        self._make_good(now_ns)
        self._forget_if_unused(key, kind)

    def tick(self, now_ns: int) -> int | None:
        """Does what is due; when to come again, if ever."""
        self._close_idle(now_ns)
        self._make_good(now_ns)
        settings = self._settings
        due: int | None = None
        for kind in self._kinds.values():
            times = []
            if kind.waiting and not kind.opening and self._has_room(kind):
                times.append(max(now_ns, _oldest_ns(kind) + settings.patience_ns))
            if len(kind.free) and self._total > settings.backends_kept:
                times.append(next(iter(kind.free.values())) + settings.backend_idle_ns)
            due = min([*times, *([due] if due is not None else [])], default=None)
        return due

    def _has_room(self, kind: _Kind[B, C]) -> bool:
        """Whether one more could be opened, maybe in the place of an idle one of another kind."""
        return self._total < self._settings.backends_max or any(
            other.free for other in self._kinds.values() if other is not kind
        )

    # Choosing.

    def _take(self, kind: _Kind[B, C], customer: C, state: object) -> None:
        """Of the free ones, the last used that has the state, else the one that was used longest ago: what the
        others have is likelier to be asked for."""
        for backend in reversed(kind.free):
            if backend.state is state:
                break
        else:
            backend = next(iter(kind.free))
        del kind.free[backend]
        self._serve(customer, backend)

    def _offer(self, backend: B, key: K, kind: _Kind[B, C], now_ns: int) -> None:
        starving = self._starving(key, kind, now_ns) if self._total >= self._settings.backends_max else None
        if starving is not None:
            kind.open -= 1
            self._total -= 1
            self._disconnect(backend)
            self._open(starving)
            self._forget_if_unused(key, kind)
        elif kind.waiting:
            customer, _ = kind.waiting.popitem(last=False)
            self._serve(customer, backend)
        else:
            kind.free[backend] = now_ns

    def _starving(self, key: K, kind: _Kind[B, C], now_ns: int) -> K | None:
        """A kind that has waited too long and has less than its share, if this one has more than its own; no backend
        can be opened for it."""
        wanting = [
            (_oldest_ns(other), name)
            for name, other in self._kinds.items()
            if name != key and other.waiting and not other.opening
        ]
        if not wanting:
            return None
        share = max(1, self._settings.backends_max // (len(wanting) + bool(kind.waiting)))
        since_ns, neediest = min(wanting, key=lambda pair: pair[0])
        if kind.waiting and (kind.total <= share or now_ns - since_ns < self._settings.patience_ns):
            return None
        return neediest if self._kinds[neediest].total < share or not kind.waiting else None

    # Growing and shrinking.

    def _grow(self, key: K, kind: _Kind[B, C], now_ns: int) -> None:
        settings = self._settings
        if kind.opening >= len(kind.waiting):
            return
        if self._total < settings.backends_target or kind.total == 0:
            is_due = True
        else:
            is_due = not kind.opening and now_ns - _oldest_ns(kind) >= settings.patience_ns
        if not is_due:
            return
        if self._total >= settings.backends_max and not self._close_one_of_others(key):
            return
        self._open(key)

    def _open(self, key: K) -> None:
        self._kinds[key].opening += 1
        self._total += 1
        self._connect(key)

    def _make_good(self, now_ns: int) -> None:
        """Opens what is missing: for those who have waited long enough, longest first."""
        wanting = [(_oldest_ns(kind), key) for key, kind in self._kinds.items() if kind.waiting]
        for _, key in sorted(wanting, key=lambda pair: pair[0]):
            self._grow(key, self._kinds[key], now_ns)

    def _close_one_of_others(self, key: K) -> bool:
        """Makes room with the free backend that was used longest ago."""
        candidates = [
            (next(iter(kind.free.values())), name) for name, kind in self._kinds.items() if name != key and kind.free
        ]
        if not candidates:
            return False
        _, name = min(candidates, key=lambda pair: pair[0])
        self._close_first_free(name)
        return True

    def _close_first_free(self, key: K) -> None:
        kind = self._kinds[key]
        backend = next(iter(kind.free))
        del kind.free[backend]
        kind.open -= 1
        self._total -= 1
        self._disconnect(backend)
        self._forget_if_unused(key, kind)

    def _close_idle(self, now_ns: int) -> None:
        for key in list(self._kinds):
            while (
                (kind := self._kinds.get(key)) is not None
                and kind.free
                and self._total > self._settings.backends_kept
                and now_ns - next(iter(kind.free.values())) >= self._settings.backend_idle_ns
            ):
                self._close_first_free(key)

    def _forget_if_unused(self, key: K, kind: _Kind[B, C]) -> None:
        if not kind.total and not kind.waiting:
            self._kinds.pop(key, None)


def _oldest_ns(kind: _Kind[B, C]) -> int:
    return next(iter(kind.waiting.values())).since_ns
