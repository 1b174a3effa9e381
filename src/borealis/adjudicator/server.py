"""The shell of the transaction service: sockets, threads, timers, shared page; every decision is made elsewhere.

All requests whose frames have arrived in one turn of the event loop form a group, which is decided and synced at once.
What cannot be true ends the process at once, loudly: its supervisor starts a new one, which recovers from the journal.
"""

import asyncio
import gc
import logging
import os
import secrets
import signal
import time
from collections.abc import Callable, Collection
from contextlib import suppress
from pathlib import Path
from typing import Final, NoReturn

from borealis.adjudicator.adjudicator import Published, Request
from borealis.adjudicator.admission import DISK_FULL, STOPPING, STORAGE_BEHIND, TABLE_RESERVED, Admission, Ticket
from borealis.adjudicator.commit_session import CommitSession, Intake
from borealis.adjudicator.follower import Follower
from borealis.adjudicator.reader_slots import read_oldest_timestamp
from borealis.adjudicator.recent_batches import RecentBatches
from borealis.adjudicator.service import RoomNeeded, TransactionService
from borealis.adjudicator.settings import Settings
from borealis.foundation.clock import Clock
from borealis.foundation.errors import InvariantViolation
from borealis.foundation.identifiers import NANOSECONDS_PER_SECOND, NO_TIMESTAMP, Position, Relfilenode, Timestamp
from borealis.foundation.pages import TRANSACTIONS_MAGIC, SharedPage, TransactionsWord
from borealis.journal.disk import LocalDisk
from borealis.journal.file_journal import NoRoom
from borealis.journal.reading import JournalView
from borealis.wire.commit_messages import Refused
from borealis.wire.frames import Octets
from borealis.wire.journal_messages import Applied

_log = logging.getLogger("transactions")
_MAINTENANCE_SECONDS: Final = 1.0
_SPARE_PAUSE_SECONDS: Final = 0.002
_SPARE_RETRY_NS: Final = NANOSECONDS_PER_SECOND
_EXIT_INVARIANT: Final = 70
_SOCKET_PERMISSIONS: Final = 0o660


def die(error: BaseException) -> NoReturn:
    """End the process without another write to anything: what is durable is all that counts."""
    _log.critical("the transaction service stops at once: %s", error, exc_info=error)
    logging.shutdown()
    os._exit(_EXIT_INVARIANT)


class TransactionServer:
    def __init__(self, settings: Settings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._page = SharedPage.own(settings.run / "transactions.page", TRANSACTIONS_MAGIC)
        self._recent = RecentBatches(Position(0))
        self._followers: list[Follower] = []
        self._sessions: set[CommitSession] = set()
        self._service = TransactionService(
            LocalDisk(), settings.zone_directories, self._publish, self._feed, settings.service
        )
        self._check_page()
        self._recent = RecentBatches(self._service.journal.end)
        self._applied = self._service.journal.end
        self._snapshot = Position(0)
        self._intake = Intake(settings.intake_bytes_max)
        self._admission: Admission[CommitSession] = Admission(settings.admission)
        self._loop = asyncio.get_running_loop()
        self._is_group_due = False
        self._preparation: asyncio.Task[None] | None = None
        self._is_spare_urgent = False
        self._spare_retry = NO_TIMESTAMP
        self._expiry: asyncio.TimerHandle | None = None
        self._maintenance: asyncio.TimerHandle | None = None
        self._acknowledged_before = NO_TIMESTAMP
        self._service.take_lease(clock.now(), secrets.randbits(32))

    def _check_page(self) -> None:
        """The page outlives the process; what it acknowledged must be in the journal."""
        acknowledged = self._page.load(TransactionsWord.ACKNOWLEDGED)
        recovered = self._service.adjudicator.published.acknowledged
        if acknowledged > recovered:
            raise InvariantViolation(
                f"the journal ends at timestamp {recovered}, but {acknowledged} has been acknowledged: commits are "
                f"missing. To go on without them, remove {self._settings.run / 'transactions.page'}"
            )

    # Effects of the service

    def _publish(self, published: Published, lease_start: Timestamp) -> None:
        page = self._page
        if (
            page.load(TransactionsWord.CATALOG_VERSION) != published.catalog_version
            or page.load(TransactionsWord.LEASE_START) != lease_start
        ):
            page.store(TransactionsWord.PROCESS_ID, os.getpid())
            page.store(TransactionsWord.LEASE_START, lease_start)
            page.store(TransactionsWord.SCHEMA_VERSION, published.schema_version)
            page.store(TransactionsWord.CATALOG_VERSION, published.catalog_version)
            page.fence()
        page.store(TransactionsWord.ACKNOWLEDGED, published.acknowledged)

    def _feed(self, position: Position, batch: Octets) -> None:
        self._recent.add(position, batch)
        for follower in self._followers:
            follower.pump()

    # For the sessions

    @property
    def lease_start(self) -> Timestamp:
        return self._service.adjudicator.lease_start

    @property
    def transaction_bytes_max(self) -> int:
        return self._settings.transaction_bytes_max

    def submit(self, session: CommitSession, number: int, request: Request) -> None:
        ticket = Ticket(session, number, request, self._clock.now())
        if not self._admission.offer(ticket):
            self._refuse([ticket], STORAGE_BEHIND)
        elif not self._is_group_due:
            self._is_group_due = True
            self._loop.call_soon(self._run_group)

    def add_session(self, session: CommitSession) -> None:
        self._sessions.add(session)

    def reserve(self, session: CommitSession, tables: Collection[Relfilenode]) -> None:
        """Whatever was decided before has been published; nothing that is still here gets past."""
        self._admission.reserve(session, tables, self._clock.now())

    def remove_session(self, session: CommitSession) -> None:
        self._sessions.discard(session)
        self._admission.release(session)
        if len(self._admission):
            self._admission.take_of(session)
            self._schedule_group()

    def _schedule_group(self) -> None:
        if not self._is_group_due and len(self._admission):
            self._is_group_due = True
            self._loop.call_soon(self._run_group)

    def _run_group(self) -> None:
        self._is_group_due = False
        try:
            self._note_lag()
            group = self._admission.take_group()
            if group:
                self._decide(group)
                self._schedule_group()
            if len(self._admission):
                self._watch_expiry()
        except BaseException as error:
            die(error)

    def _decide(self, group: list[Ticket[CommitSession]]) -> None:
        try:
            answers = self._service.run_group(self._clock.now(), [ticket.request for ticket in group])
        except RoomNeeded as needed:
            self._admission.await_room(group)
            self._prepare_spare(needed.spare_bytes, is_urgent=True)
            return
        for ticket, answer in zip(group, answers, strict=True):
            ticket.sender.answer(ticket.number, answer)
        if self._preparation is None and self._service.journal.is_spare_due and self._clock.now() > self._spare_retry:
            self._prepare_spare(0, is_urgent=False)
        if self._maintenance is None:
            self._schedule_maintenance()

    # Waiting: for storage, for room

    def _note_lag(self) -> None:
        self._admission.note_lag(self._service.journal.end - self._applied)

    def _watch_expiry(self) -> None:
        expiry = self._admission.next_expiry()
        if expiry is None:
            return
        if self._expiry is not None:
            self._expiry.cancel()
        self._expiry = self._loop.call_later((expiry - self._clock.now()) / 1e9, self._expire)

    def _expire(self) -> None:
        self._expiry = None
        if self._preparation is None:  # or whoever waits for room hears from the preparation, and the rest after it
            self._refuse(self._admission.take_expired(self._clock.now()), STORAGE_BEHIND)
            self._refuse(self._admission.take_overdue(self._clock.now()), TABLE_RESERVED)
            self._schedule_group()
            self._watch_expiry()

    def _refuse(self, tickets: list[Ticket[CommitSession]], refusal: Refused) -> None:
        for ticket in tickets:
            ticket.sender.answer(ticket.number, self._service.give_up(ticket.request, refusal))

    def _prepare_spare(self, spare_bytes: int, is_urgent: bool) -> None:
        self._is_spare_urgent = is_urgent
        if self._preparation is None:
            self._preparation = self._loop.create_task(self._prepare(spare_bytes))

    async def _prepare(self, spare_bytes: int) -> None:
        try:
            await asyncio.to_thread(self._take_spare_steps, spare_bytes)
        except NoRoom as error:
            _log.error("%s", error)
            self._spare_retry = Timestamp(self._clock.now() + _SPARE_RETRY_NS)
            if self._admission.is_room_awaited:
                self._refuse(self._admission.take_all_that_need_room(), DISK_FULL)
        except asyncio.CancelledError:
            raise
        except BaseException as error:
            die(error)
        finally:
            self._preparation = None
        self._admission.note_room()
        self._schedule_group()

    def _take_spare_steps(self, spare_bytes: int) -> None:
        for _ in self._service.journal.prepare_spare(spare_bytes):
            if not self._is_spare_urgent:
                time.sleep(_SPARE_PAUSE_SECONDS)  # leave the disk to the commits

    # For the followers

    @property
    def journal_view(self) -> JournalView:
        return self._service.journal_view

    @property
    def recent(self) -> RecentBatches:
        return self._recent

    def add_follower(self, follower: Follower) -> None:
        if follower not in self._followers:
            self._followers.append(follower)

    def remove_follower(self, follower: Follower) -> None:
        if follower in self._followers:
            self._followers.remove(follower)

    def note_applied(self, applied: Applied) -> None:
        self._applied = applied.position
        if len(self._admission):
            self._schedule_group()

    def note_snapshot(self, position: Position) -> None:
        self._snapshot = max(self._snapshot, position)
        self._truncate()

    # Housekeeping

    def _maintain(self) -> None:
        """Runs until a while after the last commit: an idle cluster costs no cycles."""
        self._maintenance = None
        try:
            acknowledged = self._service.adjudicator.published.acknowledged
            # A reader takes its timestamp from the page before it fills its slot: what was acknowledged a while ago
            # bounds those that are in between.
            oldest = min(read_oldest_timestamp(self._settings.run) or acknowledged, self._acknowledged_before)
            self._acknowledged_before = acknowledged
            self._service.forget(self._clock.now(), oldest)
            positions = [position for follower in self._followers if (position := follower.next_position) is not None]
            self._recent.forget(min(positions, default=self._service.journal.end))
            self._truncate()
            self._schedule_maintenance()
        except BaseException as error:
            die(error)

    def _schedule_maintenance(self) -> None:
        if self._service.adjudicator.has_memories:
            self._maintenance = self._loop.call_later(_MAINTENANCE_SECONDS, self._maintain)

    def _truncate(self) -> None:
        removed = self._service.truncate(self._clock.now(), self._snapshot)
        if removed:
            _log.info("%d journal segments removed, the oldest position is %d", removed, self._service.journal.oldest)

    # Life

    async def run(self) -> None:
        """Serve until SIGTERM or SIGINT."""
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            self._loop.add_signal_handler(number, stop.set)
        run = self._settings.run
        servers = [
            await _listen(run / "commit.sock", lambda: CommitSession(self, self._intake)),
            await _listen(run / "journal.sock", lambda: Follower(self)),
        ]
        self._schedule_maintenance()
        gc.collect()
        gc.freeze()
        print("ready", flush=True)
        await stop.wait()
        for server in servers:
            server.close()
        await self._stop()

    async def _stop(self) -> None:
        if self._preparation is not None:
            self._is_spare_urgent = True
            await self._preparation
        self._refuse(self._admission.take_all(), STOPPING)
        for session in list(self._sessions):
            session.close()
        for follower in list(self._followers):
            follower.close()
        for timer in (self._expiry, self._maintenance):
            if timer is not None:
                timer.cancel()
        self._service.close()
        self._page.close()


async def _listen(path: Path, make_session: Callable[[], asyncio.Protocol]) -> asyncio.AbstractServer:
    with suppress(FileNotFoundError):
        path.unlink()  # of a former life: the lock on the journal says that nobody serves it
    server = await asyncio.get_running_loop().create_unix_server(make_session, path, backlog=1024)
    path.chmod(_SOCKET_PERMISSIONS)
    return server
