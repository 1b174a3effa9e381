"""The storage process: waits for batches, applies them, publishes the watermark, and keeps house in the gaps.

One thread does all of it, driven by one poll; only the copying of a snapshot runs beside it. Order matters: commit to
the map, then publish, then report. Decisions are made in the modules that this one calls.
"""

import logging
import os
import select
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from borealis.foundation.errors import Reason, Unavailable
from borealis.storage.apply import ApplyPlan
from borealis.storage.housekeeping import Housekeeper
from borealis.storage.journal_link import JournalLink, LinkLost
from borealis.storage.opening import OpenedMap, StorageLayout
from borealis.storage.ordered_map import OutOfRoom
from borealis.storage.pace import Backoff, ReportPace
from borealis.storage.publication import Publication, State
from borealis.storage.reader_slots import ReaderSlots
from borealis.storage.replica import Replica
from borealis.storage.settings import StorageSettings
from borealis.storage.snapshot_keeper import SnapshotKeeper
from borealis.wire.commit_messages import decode_refusal
from borealis.wire.frames import Frame
from borealis.wire.journal_messages import JournalFrame, decode_position

log = logging.getLogger(__name__)

_NANOSECONDS_PER_MILLISECOND: Final = 1_000_000


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
        self._replica = Replica(self._opened.map, settings, publishes_all_sizes=False)
        self._publish_map()
        self._housekeeper = Housekeeper(
            self._replica,
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
        self._report = ReportPace(settings)
        self._backoff = Backoff(settings.reconnect_delay_min_ns, settings.reconnect_delay_max_ns)
        self._link: JournalLink | None = None
        self._connect_at_ns = 0
        self._stalled: ApplyPlan | None = None
        self._retry_at_ns = 0
        self._is_stopping = False
        self._is_ready = False
        self._poll = select.poll()
        self._listen()

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
            has_data = self._wait(now)
            if self._stalled is not None and time.monotonic_ns() >= self._retry_at_ns:
                self._write(self._stalled)
            if has_data:
                self._receive()
            self._keep_house(is_idle=not has_data)
            self._report_if_due()

    def close(self) -> None:
        """Leave a clean map behind."""
        self._send_report()
        self._drop_link()
        self._snapshots.close()
        self._housekeeper.close()
        self._opened.close(is_clean=True)
        self._publication.publish_state(State.STOPPED)
        self._publication.close()
        self._wake_receiver.close()
        self._wake_sender.close()

    # Waiting.

    def _listen(self) -> None:
        """Poll what matters now: while there is no room, batches stay in the socket, which holds commits back."""
        self._poll = select.poll()
        self._poll.register(self._wake_receiver, select.POLLIN)
        if self._link is not None and self._stalled is None:
            self._poll.register(self._link, select.POLLIN)

    def _wait(self, now: int) -> bool:
        """Until there is something to do; whether a batch may have arrived."""
        ready = self._poll.poll(self._timeout_ms(now))
        has_data = False
        for descriptor, _ in ready:
            if descriptor == self._wake_receiver.fileno():
                self._drain_wakes()
            else:
                has_data = True
        return has_data

    def _timeout_ms(self, now: int) -> int:
        due = self._housekeeper.due_ns()
        if self._link is None:
            due = min(due, self._connect_at_ns)
        elif self._report.due_ns is not None:
            due = min(due, self._report.due_ns)
        if self._stalled is not None:
            # Collection may make room, but not at full speed on a full disk.
            due = self._retry_at_ns
        return max(0, -(-(due - now) // _NANOSECONDS_PER_MILLISECOND))

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
        settings = self._settings
        try:
            link = JournalLink(self._layout.journal_socket, settings.receive_bytes, settings.frame_bytes_max)
            self._link = link
            link.follow(self._replica.progress.position)
            link.report_applied(self._replica.progress)
            if self._snapshots.bound is not None:
                link.report_snapshot(self._snapshots.bound)
        except LinkLost as error:
            self._lose_link(error, now)
            return False
        log.info("following the journal from position %d", self._replica.progress.position)
        self._report.reported(self._replica.progress.position)
        self._publish_state()
        self._listen()
        return True

    def _lose_link(self, error: LinkLost, now: int) -> None:
        if self._link is not None or self._connect_at_ns == 0:
            # Said once, not with each attempt.
            log.warning("%s; trying to reach the transaction service again", error)
        self._drop_link()
        self._connect_at_ns = now + self._backoff.next_delay_ns()
        self._publish_state()
        self._listen()

    def _drop_link(self) -> None:
        if self._link is not None:
            self._link.close()
            self._link = None

    def _receive(self) -> None:
        """Apply what has arrived, in as few transactions as the bounds of a plan allow."""
        link = self._link
        if link is None:
            return
        plan = self._replica.plan()
        lost: LinkLost | None = None
        try:
            for frames in link.receive():
                for frame in frames:
                    self._take(plan, frame)
                    plan = self._write_if_full(plan)
                if self._link is not link or self._stalled is not None:
                    break
        except LinkLost as error:
            lost = error
        if plan.after != plan.before and self._stalled is None:
            self._write(plan)
        if lost is not None:
            self._lose_link(lost, time.monotonic_ns())

    def _write_if_full(self, plan: ApplyPlan) -> ApplyPlan:
        """The plan to go on with. One that found no room takes in what has been received already, and waits."""
        if self._stalled is not None or not plan.is_full(self._settings.plan_writes_max, self._settings.plan_bytes_max):
            return plan
        self._write(plan)
        return plan if self._stalled is not None else self._replica.plan()

    def _take(self, plan: ApplyPlan, frame: Frame) -> None:
        if frame.type == JournalFrame.BATCH:
            plan.add(frame.payload)
        elif frame.type == JournalFrame.GONE:
            raise JournalUnusable(
                f"the journal begins at position {decode_position(frame.payload)}, but the map reaches only to "
                f"{self._replica.progress.position} and no newer snapshot is in {self._layout.snapshots}. Restore the "
                "snapshots directory, or the whole data directory from a backup."
            )
        else:
            refusal = decode_refusal(frame.payload)
            if refusal.reason == Reason.FORGOTTEN:
                raise LinkLost(f"the transaction service asks to follow again: {refusal.text}")
            raise JournalUnusable(f"the transaction service refused to send the journal: {refusal.text}")

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
                self._listen()
            self._retry_at_ns = time.monotonic_ns() + self._settings.room_retry_interval_ns
            return
        self._publication.publish_progress(self._replica.progress, plan.wake_bits)
        self._backoff.reset()
        self._housekeeper.applied(plan.writes)
        if self._stalled is not None:
            log.info("there is room again")
            self._stalled = None
            self._publish_state()
            self._listen()
        if self._report.applied(time.monotonic_ns(), self._replica.progress.position):
            self._send_report()

    # What follows from it.

    def _report_if_due(self) -> None:
        due = self._report.due_ns
        if self._link is not None and due is not None and time.monotonic_ns() >= due:
            self._send_report()

    def _send_report(self) -> None:
        link = self._link
        if link is None:
            return
        try:
            link.flush()
            if not link.has_unsent:
                link.report_applied(self._replica.progress)
                self._report.reported(self._replica.progress.position)
        except LinkLost as error:
            self._lose_link(error, time.monotonic_ns())

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
