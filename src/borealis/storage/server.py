"""The storage process: lets the follower follow the journal, does what that leaves to it, and keeps house in the gaps.

One thread does all of it; only the copying of a snapshot runs beside it. Most commits never get here: the follower
(follower.py) applies plain batches by itself and comes back when there is something else to do. Order matters: commit
to the map, then publish, then report. Decisions are made in the modules that this one calls.
"""

import logging
import os
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from borealis.foundation.errors import Reason, Unavailable
from borealis.foundation.identifiers import Timestamp
from borealis.storage.apply import ApplyPlan
from borealis.storage.follower import Event, Follower
from borealis.storage.housekeeping import Housekeeper
from borealis.storage.journal_link import JournalLink, LinkLost, lost
from borealis.storage.opening import OpenedMap, StorageLayout
from borealis.storage.ordered_map import OutOfRoom
from borealis.storage.pace import Backoff
from borealis.storage.publication import Publication, State
from borealis.storage.reader_slots import ReaderSlots
from borealis.storage.replica import Replica
from borealis.storage.settings import StorageSettings
from borealis.storage.snapshot_keeper import SnapshotKeeper
from borealis.wire.commit_messages import decode_refusal
from borealis.wire.frames import Frame
from borealis.wire.journal_messages import JournalFrame, decode_position

log = logging.getLogger(__name__)

_NEVER_NS: Final = 2**63 - 1


class JournalUnusable(Unavailable):
    """The journal cannot bring this map forward; somebody has to decide what to do."""


class StorageServer:
    """The shell around one replica."""

    def __init__(self, layout: StorageLayout, settings: StorageSettings) -> None:
        """Open everything. Raises BorealisError with a text for the operator."""
        self._layout = layout
        self._settings = settings
        self._publication = Publication(layout.page)
        self._publication.publish_state(State.STARTING)
        self._opened = OpenedMap(layout, settings, self._publication.withdraw_map)
        self._follower = Follower(self._opened.map, self._publication.address, settings)
        self._replica = Replica(self._opened.map, settings, publishes_all_sizes=False, queue=self._follower.queue)
        self._publish_map()
        self._housekeeper = Housekeeper(
            self._replica,
            self._follower,
            self._opened.map,
            self._publication,
            ReaderSlots(layout.run),
            layout.transactions_page,
            settings,
        )
        self._wake_receiver, self._wake_sender = socket.socketpair()
        self._wake_receiver.setblocking(False)
        self._wake_sender.setblocking(False)
        self._snapshots = SnapshotKeeper(self._opened.map, layout.snapshots, settings, self._wake)
        self._backoff = Backoff(settings.reconnect_delay_min_ns, settings.reconnect_delay_max_ns)
        self._link: JournalLink | None = None
        self._connect_at_ns = 0
        self._stalled: ApplyPlan | None = None
        self._retry_at_ns = 0
        self._is_stopping = False
        self._is_ready = False

    @property
    def wake_descriptor(self) -> int:
        """A signal handler's wake-up goes here (signal.set_wakeup_fd)."""
        return self._wake_sender.fileno()

    def stop(self) -> None:
        """From a signal handler: leave the loop after the current step."""
        self._is_stopping = True

    def run(self, on_ready: Callable[[], None]) -> None:
        """Serve until `stop`. `on_ready` is called once, when the journal is followed for the first time."""
        while not self._is_stopping:
            now = time.monotonic_ns()
            if self._link is None and now >= self._connect_at_ns and self._connect(now) and not self._is_ready:
                self._is_ready = True
                on_ready()
            event = self._follow()
            self._handle(event)
            now = time.monotonic_ns()
            if self._stalled is not None and now >= self._retry_at_ns:
                self._write(self._stalled)
            self._keep_house(is_idle=event is Event.IDLE_DUE or self._stalled is not None)

    def close(self) -> None:
        """Leave a clean map behind."""
        if self._link is not None:
            with suppress(LinkLost):
                self._link.report_applied()
        self._drop_link()
        self._snapshots.close()
        self._housekeeper.close()
        self._follower.close()
        self._opened.close(is_clean=True)
        self._publication.publish_state(State.STOPPED)
        self._publication.close()
        self._wake_receiver.close()
        self._wake_sender.close()

    # Waiting.

    def _follow(self) -> Event:
        """Let the follower work until there is something to do here.

        While there is no room, batches stay in the socket, which holds commits back.
        """
        replica, follower, housekeeper = self._replica, self._follower, self._housekeeper
        follower.moved(replica.progress, replica.collected_horizon)
        follower.state.collect_up_to = housekeeper.collect_up_to(time.monotonic_ns())
        due, idle_due = housekeeper.due_ns(), housekeeper.idle_due_ns()
        if self._link is None:
            due = min(due, self._connect_at_ns)
        if self._stalled is not None:
            # Collection may make room, but not at full speed on a full disk.
            due, idle_due = self._retry_at_ns, _NEVER_NS
        listens = self._link is not None and self._stalled is None
        event = follower.follow(self._wake_receiver.fileno(), listens, due, idle_due)
        if follower.progress != replica.progress:
            self._backoff.reset()
        replica.catch_up(follower.progress, Timestamp(follower.state.collected_horizon))
        return event

    def _handle(self, event: Event) -> None:
        if event is Event.FRAME:
            frame = self._follower.next_frame()
            if frame is not None:
                self._take(frame)
        elif event is Event.WAKE:
            self._drain_wakes()
        elif event is Event.LOST:
            self._lose_link(lost(self._follower.state.error), time.monotonic_ns())
        elif event is Event.BROKEN:
            raise self._follower.broken_rule()
        elif event is Event.COLLECTING_FAILED:
            self._housekeeper.collecting_failed(time.monotonic_ns(), self._follower.state.error)

    def _wake(self) -> None:
        with suppress(BlockingIOError):  # then enough wake-ups are waiting
            self._wake_sender.send(b"\0")

    def _drain_wakes(self) -> None:
        with suppress(BlockingIOError):
            while self._wake_receiver.recv(4096):
                pass

    # Following the journal.

    def _connect(self, now: int) -> bool:
        """Whether the journal is now being followed."""
        try:
            link = JournalLink(self._layout.journal_socket, self._follower)
            self._link = link
            link.follow(self._replica.progress.position)
            self._follower.moved(self._replica.progress, self._replica.collected_horizon)
            link.report_applied()
            if self._snapshots.bound is not None:
                link.report_snapshot(self._snapshots.bound)
        except LinkLost as error:
            self._lose_link(error, now)
            return False
        log.info("following the journal from position %d", self._replica.progress.position)
        self._publish_state()
        return True

    def _lose_link(self, error: LinkLost, now: int) -> None:
        if self._link is not None or self._connect_at_ns == 0:
            # Said once, not with each attempt.
            log.warning("%s; trying to reach the transaction service again", error)
        self._drop_link()
        self._connect_at_ns = now + self._backoff.next_delay_ns()
        self._publish_state()

    def _drop_link(self) -> None:
        if self._link is not None:
            self._link.close()
            self._link = None

    def _take(self, frame: Frame) -> None:
        """A frame that the follower does not know, or a batch that is not plain."""
        if frame.type == JournalFrame.BATCH:
            plan = self._replica.plan([frame.payload])
            if plan.after != plan.before:
                self._write(plan)
        elif frame.type == JournalFrame.GONE:
            raise JournalUnusable(
                f"the journal begins at position {decode_position(frame.payload)}, but the map reaches only to "
                f"{self._replica.progress.position} and no newer snapshot is in {self._layout.snapshots}. Restore the "
                "snapshots directory, or the whole data directory from a backup."
            )
        else:
            refusal = decode_refusal(frame.payload)
            if refusal.reason != Reason.FORGOTTEN:
                raise JournalUnusable(f"the transaction service refused to send the journal: {refusal.text}")
            error = LinkLost(f"the transaction service asks to follow again: {refusal.text}")
            self._lose_link(error, time.monotonic_ns())

    def _write(self, plan: ApplyPlan) -> None:
        """Bring a plan into the map and say so. Without room for it, keep it and listen to nobody until there is."""
        try:
            for _ in self._replica.write(plan):
                pass
        except OutOfRoom as error:
            if self._stalled is None:
                log.error("%s. Commits are held until there is room.", error)
                self._stalled = plan
                self._publish_state()
            self._retry_at_ns = time.monotonic_ns() + self._settings.room_retry_interval_ns
            return
        replica, follower = self._replica, self._follower
        self._publication.publish_progress(replica.progress, plan.wake_bits)
        self._backoff.reset()
        follower.moved(replica.progress, replica.collected_horizon)
        follower.wrote(plan.writes)
        if self._stalled is not None:
            log.info("there is room again")
            self._stalled = None
            self._publish_state()
        if self._link is not None:
            try:
                self._link.note_applied()
            except LinkLost as error:
                self._lose_link(error, time.monotonic_ns())

    # What follows from it.

    def _keep_house(self, is_idle: bool) -> None:
        self._housekeeper.run(time.monotonic_ns(), is_idle)
        if self._snapshots.poll(self._replica.progress.position) and self._link is not None:
            assert self._snapshots.bound is not None
            try:
                self._link.report_snapshot(self._snapshots.bound)
            except LinkLost as error:
                self._lose_link(error, time.monotonic_ns())

    def _publish_map(self) -> None:
        settings, replica = self._settings, self._replica
        horizon = max(self._publication.horizon, replica.collected_horizon)
        self._publication.open(
            replica.progress, horizon, settings.map_bytes_max, settings.map_readers_max, self._opened.generation
        )
        self._publication.publish_process(os.getpid())

    def _publish_state(self) -> None:
        if self._stalled is not None:
            state = State.OUT_OF_ROOM
        elif self._link is None:
            state = State.WAITING_FOR_JOURNAL
        else:
            state = State.FOLLOWING
        self._publication.publish_state(state)
