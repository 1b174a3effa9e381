"""The shell of the transaction service: sockets, threads, timers, shared page; every decision is made elsewhere.

Everything that has arrived in one turn of the event loop forms a group, which is decided and synced at once.
What cannot be true ends the process at once, loudly: its supervisor starts a new one, which recovers from the journal.
"""

import asyncio
import gc
import logging
import os
import secrets
import signal
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final, NoReturn, TypeAlias

from borealis.adjudicator.admission import DISK_FULL, STOPPING, STORAGE_BEHIND, TABLE_RESERVED, Admission
from borealis.adjudicator.desk import CommitDesk, DeskLimits, Question, TurnEnd
from borealis.adjudicator.effects import LocalEffects
from borealis.adjudicator.follower import Follower
from borealis.adjudicator.library import TurnLimits
from borealis.adjudicator.reader_slots import read_oldest_timestamp
from borealis.adjudicator.service import RoomNeeded, TransactionService
from borealis.adjudicator.settings import Settings
from borealis.foundation.clock import Clock
from borealis.foundation.errors import InvariantViolation
from borealis.foundation.identifiers import (
    NANOSECONDS_PER_SECOND,
    NO_TIMESTAMP,
    Position,
    Timestamp,
)
from borealis.foundation.pages import TRANSACTIONS_MAGIC, SharedPage, TransactionsWord
from borealis.journal.disk import LocalDisk
from borealis.journal.file_journal import NoRoom
from borealis.journal.reading import JournalView
from borealis.wire.commit_messages import Refused, SequenceCall
from borealis.wire.journal_messages import Applied

_log = logging.getLogger("transactions")
_MAINTENANCE_SECONDS: Final = 1.0
_SPARE_PAUSE_SECONDS: Final = 0.002
_SPARE_RETRY_NS: Final = NANOSECONDS_PER_SECOND
_EXIT_INVARIANT: Final = 70
_SOCKET_PERMISSIONS: Final = 0o660
_BACKLOG: Final = 1024
_ACCEPTS_PER_TURN: Final = 64
# In C, before followers and timers have their turn.
_GROUPS_PER_TURN: Final = 16
# Descriptors ran out: until then others may have been closed.
_ACCEPT_PAUSE_SECONDS: Final = 0.1

Adopt: TypeAlias = Callable[[socket.socket], None]


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
        self._effects = LocalEffects(self._page)
        self._followers: dict[int, Follower] = {}
        self._service = TransactionService(LocalDisk(), settings.zone_directories, self._effects, settings.service)
        self._check_page()
        self._applied = self._service.journal.end
        self._snapshot = Position(0)
        limits = DeskLimits(
            settings.transaction_bytes_max,
            settings.intake_bytes_max,
            settings.admission.waiting_max,
            settings.admission.reservation_ns_max,
        )
        self._desk = CommitDesk(self._service.adjudicator.core, limits)
        self._questions: list[Question] = []
        self._admission = Admission(settings.admission)
        self._turn_limits = TurnLimits(
            settings.admission.group_bytes_max, settings.admission.lag_bytes_max, _GROUPS_PER_TURN
        )
        self._loop = asyncio.get_running_loop()
        self._group_due: asyncio.Handle | None = None
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

    # Groups

    def _receive(self) -> None:
        """Something has arrived on the commit socket."""
        try:
            if self._questions or self._admission.is_room_awaited:
                self._take_in(self._desk.receive(self._clock.now()))
                self._run_group()
            else:
                self._turn()
        except BaseException as error:
            die(error)

    def _turn(self) -> None:
        """As `_run_group`, for as long as there are only plain transactions."""
        desk = self._desk
        end = desk.turn(self._effects, self._turn_limits, self._applied, self._service.epoch)
        if end is TurnEnd.DROPPED:
            self._service.complete()
            desk.answer()
        self._look_after_journal()
        if end is TurnEnd.EVENTS:
            self._take_in(desk.take_events())
            self._run_group()
        elif end in (TurnEnd.BEHIND, TurnEnd.ROOM):
            self._run_group()
        else:
            self._schedule_group()
            if desk.held:
                self._watch_expiry()

    def _take_in(self, questions: list[Question]) -> None:
        """Those that need the journal may have to wait; whoever asked may be gone by then."""
        room = self._settings.admission.waiting_max - len(self._questions)
        for question in questions[room:]:
            self._desk.reply(question.connection, question.number, STORAGE_BEHIND)
        self._questions += questions[:room]

    def _run_later(self) -> None:
        self._group_due = None
        try:
            self._run_group()
        except BaseException as error:
            die(error)

    def _schedule_group(self) -> None:
        if self._group_due is None and (self._desk.queued or self._questions):
            self._group_due = self._loop.call_soon(self._run_later)

    def _run_group(self) -> None:
        admission, desk = self._admission, self._desk
        admission.note_lag(self._service.journal.end - self._applied)
        queue = desk if desk.queued and not admission.holds_transactions else None
        questions = self._take_questions() if self._questions else []
        if queue is not None or questions:
            self._decide(queue, questions)
            if not admission.holds_transactions:
                self._schedule_group()
        if desk.queued or desk.held:
            self._watch_expiry()

    def _take_questions(self) -> list[Question]:
        """Those that may be answered now."""
        questions, self._questions = self._questions, []
        if self._admission.holds_sequences:
            self._questions = [each for each in questions if type(each.request) is SequenceCall]
            questions = [each for each in questions if type(each.request) is not SequenceCall]
        return questions

    def _decide(self, queue: CommitDesk | None, questions: list[Question]) -> None:
        now, bytes_max = self._clock.now(), self._settings.admission.group_bytes_max
        requests = [question.request for question in questions]
        try:
            answers = self._service.run_group(now, requests, queue, bytes_max)
        except RoomNeeded as needed:
            self._questions = questions + self._questions
            self._admission.await_room()
            self._prepare_spare(needed.spare_bytes, is_urgent=True)
            self._schedule_group()  # of the questions that need no room
            return
        self._desk.answer()
        for question, answer in zip(questions, answers, strict=True):
            self._desk.reply(question.connection, question.number, answer)
        self._look_after_journal()

    def _look_after_journal(self) -> None:
        """The journal may have grown."""
        for descriptor, position, sent in self._effects.take_fallen():
            self._followers[descriptor].fall_behind(position, sent)
        if self._preparation is None and self._service.journal.is_spare_due and self._clock.now() > self._spare_retry:
            self._prepare_spare(0, is_urgent=False)
        if self._maintenance is None:
            self._schedule_maintenance()

    # Waiting: for storage, for room

    def _watch_expiry(self) -> None:
        expiry = self._admission.next_expiry(self._desk.oldest_arrival, self._desk.oldest_held)
        if expiry is None:
            return
        if self._expiry is not None:
            self._expiry.cancel()
        self._expiry = self._loop.call_later((expiry - self._clock.now()) / NANOSECONDS_PER_SECOND, self._expire)

    def _expire(self) -> None:
        self._expiry = None
        if self._preparation is None:  # or whoever waits for room hears from the preparation, and the rest after it
            now, desk, admission = self._clock.now(), self._desk, self._admission
            desk.refuse(STORAGE_BEHIND, admission.latest_to_expire(now))
            desk.release_aged(now)
            desk.refuse_held(TABLE_RESERVED, admission.latest_overdue(now))
            self._schedule_group()
            self._watch_expiry()

    def _refuse_all(self, refusal: Refused) -> None:
        """Whatever waits for the journal. Not those who ask for an outcome: it may be that of a commit."""
        self._desk.refuse(refusal)
        questions, self._questions = self._questions, []
        for question in questions:
            if type(question.request) is SequenceCall:
                self._desk.reply(question.connection, question.number, refusal)
            else:
                self._questions.append(question)

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
                self._refuse_all(DISK_FULL)
        except asyncio.CancelledError:
            raise
        except BaseException as error:
            die(error)
        finally:
            self._preparation = None
        self._admission.note_room()
        self._schedule_group()
        self._watch_expiry()

    def _take_spare_steps(self, spare_bytes: int) -> None:
        for _ in self._service.journal.prepare_spare(spare_bytes):
            if not self._is_spare_urgent:
                time.sleep(_SPARE_PAUSE_SECONDS)  # leave the disk to the commits

    # For the followers

    @property
    def journal_view(self) -> JournalView:
        return self._service.journal_view

    def add_follower(self, follower: Follower) -> None:
        self._followers[follower.descriptor] = follower

    def remove_follower(self, follower: Follower) -> None:
        self._effects.unfollow(follower.descriptor)
        del self._followers[follower.descriptor]

    def feed_live(self, follower: Follower) -> None:
        self._effects.follow(follower.descriptor)

    def note_applied(self, applied: Applied) -> None:
        self._applied = applied.position
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
        commits = self._serve(run / "commit.sock", self._desk.adopt)
        self._loop.add_reader(self._desk.descriptor, self._receive)
        followers = self._serve(run / "journal.sock", lambda connection: self.add_follower(Follower(self, connection)))
        self._schedule_maintenance()
        gc.collect()
        gc.freeze()
        print("ready", flush=True)
        await stop.wait()
        for listener in (commits, followers):
            self._loop.remove_reader(listener)
            listener.close()
        await self._stop()

    def _serve(self, path: Path, adopt: Adopt) -> socket.socket:
        with suppress(FileNotFoundError):
            path.unlink()  # of a former life: the lock on the journal says that nobody serves it
        listener = socket.socket(socket.AF_UNIX)
        listener.setblocking(False)
        listener.bind(str(path))
        path.chmod(_SOCKET_PERMISSIONS)
        listener.listen(_BACKLOG)
        self._loop.add_reader(listener, self._accept, listener, adopt)
        return listener

    def _accept(self, listener: socket.socket, adopt: Adopt) -> None:
        try:
            for _ in range(_ACCEPTS_PER_TURN):
                connection, _address = listener.accept()
                adopt(connection)
        except (BlockingIOError, ConnectionAbortedError, InterruptedError):
            return
        except OSError as error:
            _log.error("a connection cannot be accepted: %s", error)
            self._loop.remove_reader(listener)
            self._loop.call_later(_ACCEPT_PAUSE_SECONDS, self._accept_again, listener, adopt)

    def _accept_again(self, listener: socket.socket, adopt: Adopt) -> None:
        if listener.fileno() >= 0:
            self._loop.add_reader(listener, self._accept, listener, adopt)

    async def _stop(self) -> None:
        if self._preparation is not None:
            self._is_spare_urgent = True
            await self._preparation
        self._refuse_all(STOPPING)
        self._desk.refuse_held(STOPPING)
        self._loop.remove_reader(self._desk.descriptor)
        for due in (self._group_due, self._expiry, self._maintenance):
            if due is not None:
                due.cancel()
        self._desk.close()
        for follower in list(self._followers.values()):
            follower.close()
        self._service.close()
        self._effects.close()
        self._page.close()
