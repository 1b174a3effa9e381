"""The effects of a completed group: what the order of its steps in C (`tx_group_complete`) does to the world.

On this machine they are C as well (transaction_library/journal_effects.h): a commit does not pass through Python.
"""

import ctypes
import os
from collections.abc import Sequence
from ctypes import c_char, c_int
from typing import Final, NamedTuple, Protocol, cast

from borealis.adjudicator import library as c
from borealis.adjudicator.published import Published
from borealis.foundation.errors import InvariantViolation
from borealis.foundation.identifiers import Position, Timestamp
from borealis.foundation.pages import SharedPage, TransactionsWord
from borealis.journal.disk import LocalFile
from borealis.journal.file_journal import FileJournal
from borealis.wire.frames import Octets

_MISPLACED: Final = -1


class Effects(Protocol):
    @property
    def address(self) -> int:
        """Of a `library.Effects`."""

    def attach(self, journal: FileJournal) -> None:
        """Persist into this journal from now on; called anew when it has begun a segment or appended by itself."""

    def check(self, problem: int) -> None:
        """After a completion that returned `problem`: the journal knows its end. Raises what an effect failed with."""

    def publish(self, published: Published, lease_start: Timestamp) -> None:
        """Make a new lease known."""

    def feed(self, position: Position, batch: Octets) -> None:
        """Offer a batch to those who follow the journal that was made durable outside of a group."""


class Fallen(NamedTuple):
    """A follower that is not fed any more. Of the frame of the batch at `position` it has `sent` bytes."""

    descriptor: int
    position: Position
    sent: int


class LocalEffects:
    """Files, sockets and the shared page of this machine."""

    def __init__(self, page: SharedPage) -> None:
        self._page = page
        self._first_byte = c_char.from_buffer(page.address_space)
        self.journal: int | None = c.library.tx_journal_open(ctypes.addressof(self._first_byte))
        """The address of a struct tx_journal."""
        self._state: c.JournalState = c.library.tx_journal_state(self.journal).contents
        self.address: int = c.library.tx_journal_effects(self.journal)
        self._attached: FileJournal | None = None

    def close(self) -> None:
        """Nothing else may be called any more."""
        c.library.tx_journal_close(self.journal)
        self.journal = None
        del self._first_byte

    # The journal

    def attach(self, journal: FileJournal) -> None:
        self._attached = journal
        descriptors = [cast(LocalFile, file).descriptor for file in journal.files]
        array = (c_int * len(descriptors))(*descriptors)
        place = (journal.segments[-1].header.first_position, journal.end, journal.end + journal.room)
        c.library.tx_journal_continue_in(self.journal, array, len(descriptors), *place)

    def check(self, problem: int) -> None:
        if problem == _MISPLACED:
            raise InvariantViolation("a batch was appended where it does not belong or does not fit")
        if problem:
            raise InvariantViolation(f"the journal cannot be written: {os.strerror(problem)}")
        self.note_end()

    def note_end(self) -> None:
        """Tell the journal what has been appended to it from C."""
        if self._attached is not None:
            self._attached.note_end(Position(self._state.end))

    # The page

    def publish(self, published: Published, lease_start: Timestamp) -> None:
        page = self._page
        page.store(TransactionsWord.PROCESS_ID, os.getpid())
        page.store(TransactionsWord.LEASE_START, lease_start)
        page.store(TransactionsWord.SCHEMA_VERSION, published.schema_version)
        page.store(TransactionsWord.CATALOG_VERSION, published.catalog_version)
        page.fence()
        page.store(TransactionsWord.ACKNOWLEDGED, published.acknowledged)

    # Followers

    def follow(self, descriptor: int) -> None:
        """A follower that has everything up to the end of the journal gets all that comes, until it falls behind."""
        c.library.tx_journal_follow(self.journal, descriptor)

    def unfollow(self, descriptor: int) -> None:
        """Before the socket is closed."""
        c.library.tx_journal_unfollow(self.journal, descriptor)

    def feed(self, position: Position, batch: Octets) -> None:
        data = bytes(batch)
        c.library.tx_journal_feed(self.journal, position, data, len(data))

    def take_fallen(self) -> Sequence[Fallen]:
        """Those that have fallen behind; to be asked for whenever something was fed."""
        state = self._state
        if not state.fallen_count:
            return ()
        fallen = [Fallen(each.descriptor, each.position, each.sent) for each in state.fallen[: state.fallen_count]]
        c.library.tx_journal_forget_fallen(self.journal)
        return fallen
