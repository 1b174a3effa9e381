"""Rounds of the horizon, and the collection of what nobody waits for.

Owns when the reader slots are looked at and what is published from them; the deciding is in horizon.py, pace.py and
collector.py. The follower collects in step with what it applies; here is the rest. Each call does a bounded amount of
work.
"""

import logging
import time
from pathlib import Path

from borealis.foundation.errors import Unavailable
from borealis.foundation.identifiers import NO_TIMESTAMP, Timestamp
from borealis.foundation.pages import TRANSACTIONS_MAGIC, SharedPage, TransactionsWord
from borealis.storage.follower import Follower
from borealis.storage.horizon import HorizonTracker
from borealis.storage.lmdb_map import LmdbMap, translate
from borealis.storage.ordered_map import OutOfRoom
from borealis.storage.pace import BackgroundPace
from borealis.storage.publication import Publication
from borealis.storage.reader_slots import ReaderSlots
from borealis.storage.replica import Replica
from borealis.storage.settings import StorageSettings

log = logging.getLogger(__name__)


class Housekeeper:
    """Keeps the map of one replica small."""

    def __init__(
        self,
        replica: Replica,
        follower: Follower,
        environment: LmdbMap,
        publication: Publication,
        slots: ReaderSlots,
        transactions_page: Path,
        settings: StorageSettings,
    ) -> None:
        self._replica = replica
        self._follower = follower
        self._environment = environment
        self._publication = publication
        self._slots = slots
        self._transactions_path = transactions_page
        self._transactions: SharedPage | None = None
        self._settings = settings
        reader_age_max_ns = settings.transaction_age_max_ns + settings.transaction_age_grace_ns
        self._horizon = HorizonTracker(publication.horizon, settings.horizon_lag_ns, reader_age_max_ns)
        self._collect_up_to = NO_TIMESTAMP
        self._background = BackgroundPace(settings.background_rest_factor)
        self._next_round_ns = 0
        self._next_reader_check_ns = 0
        self._next_publication_ns = 0
        self._rests_until_ns = 0
        self._is_out_of_room = False
        self._applied_at_last_round = NO_TIMESTAMP
        self._quiet_at_ns = 0

    def collect_up_to(self, now_ns: int) -> Timestamp:
        """The horizon for who collects in step with apply; 0 while there is no room for it."""
        return NO_TIMESTAMP if now_ns < self._rests_until_ns else self._collect_up_to

    def run(self, now_ns: int, is_idle: bool) -> None:
        """What is due: a round, a slice of collection. `is_idle`: no batch is waiting."""
        if now_ns < self._rests_until_ns:
            return
        try:
            if now_ns >= self._next_round_ns:
                self._round(now_ns)
            if is_idle and now_ns >= self._background.due_ns:
                self._collect(now_ns >= self._quiet_at_ns)
            self._is_out_of_room = False
        except OutOfRoom as error:
            self._rest(now_ns, error)

    def collecting_failed(self, now_ns: int, status: int) -> None:
        """The follower's collection did, with this status of LMDB. Raises what is worse than OutOfRoom."""
        error = translate(status)
        if not isinstance(error, OutOfRoom):
            raise error
        self._rest(now_ns, error)

    def due_ns(self) -> int:
        """When `run` wants to be called next, whatever else happens."""
        return max(self._next_round_ns, self._rests_until_ns)

    def idle_due_ns(self) -> int:
        """When `run` wants to be called next if nothing else happens."""
        collector = self._replica.collector
        if collector.has_background_work(self._collect_up_to):
            return max(self._background.due_ns, self._rests_until_ns)
        if collector.has_keys(self._collect_up_to):
            return max(self._background.due_ns, self._rests_until_ns, self._quiet_at_ns)
        return self.due_ns()

    def _rest(self, now_ns: int, error: OutOfRoom) -> None:
        if not self._is_out_of_room:
            log.error("old versions cannot be collected: %s", error)
        self._is_out_of_room = True
        self._rests_until_ns = now_ns + self._settings.room_retry_interval_ns

    def _collect(self, is_quiet: bool) -> None:
        """Keys wait until it has been quiet for a while: in between writes most of their garbage goes for nothing."""
        replica, horizon, limit = self._replica, self._collect_up_to, self._settings.collect_keys_min
        collector = replica.collector
        began = time.monotonic_ns()
        if is_quiet and collector.has_keys(horizon):
            replica.collect(horizon, limit)
        elif not collector.has_background_work(horizon):
            return
        elif replica.collect_dropped(horizon, limit).is_idle:
            replica.sweep(horizon)
        self._background.worked(began, time.monotonic_ns())

    def close(self) -> None:
        if self._transactions is not None:
            self._transactions.close()

    def _round(self, now_ns: int) -> None:
        replica, settings = self._replica, self._settings
        applied = replica.progress.timestamp
        decision = self._horizon.decide(now_ns, applied, self._acknowledged(), self._slots.occupied())
        self._publication.publish_horizon(decision.publish)
        self._collect_up_to = decision.collect
        if now_ns >= self._next_publication_ns:
            self._next_publication_ns = now_ns + settings.size_publication_interval_ns
            replica.publish_sizes(self._follower.take_unpublished())
        if now_ns >= self._next_reader_check_ns:
            self._next_reader_check_ns = now_ns + settings.reader_check_interval_ns
            if dead := self._environment.check_readers():
                log.info("freed the map's reader slots of %d dead processes", dead)
        if applied != self._applied_at_last_round:
            self._quiet_at_ns = now_ns + settings.collect_quiet_ns
        is_moving = applied != self._applied_at_last_round or replica.collector.is_busy
        self._applied_at_last_round = applied
        self._next_round_ns = now_ns + (settings.round_interval_ns if is_moving else settings.idle_round_interval_ns)

    def _acknowledged(self) -> Timestamp:
        """Where the next reader takes its timestamp. 0, which holds the horizon, until the service has a page."""
        if self._transactions is None:
            try:
                self._transactions = SharedPage.watch(self._transactions_path, TRANSACTIONS_MAGIC)
            except Unavailable:
                return NO_TIMESTAMP
        return Timestamp(self._transactions.load(TransactionsWord.ACKNOWLEDGED))
