"""The effects of completed groups on a virtual world.

The order of the steps is the production service's, in C; each of them comes back here. What one of them raises (the end
of the process, above all) stops the group there and is raised anew.
"""

import ctypes
from collections.abc import Callable

from borealis.adjudicator import library as c
from borealis.adjudicator.published import Published
from borealis.foundation.errors import InvariantViolation
from borealis.foundation.identifiers import CatalogVersion, Position, SchemaVersion, Timestamp
from borealis.journal.file_journal import FileJournal
from borealis.wire.frames import Octets


class VirtualEffects:
    def __init__(self, publish: Callable[[Published, Timestamp], None], feed: Callable[[], None]) -> None:
        self.publish = publish
        self._tell_followers = feed
        self._journal: FileJournal | None = None
        self._raised: BaseException | None = None
        self._structure = c.Effects(None, c.Persist(self._persist), c.Publish(self._publish), c.Feed(self._feed))
        self.address = ctypes.addressof(self._structure)

    def attach(self, journal: FileJournal) -> None:
        self._journal = journal

    def persist(self, batch: Octets) -> None:
        assert self._journal is not None
        self._journal.append(batch)

    def feed(self, position: Position, batch: Octets) -> None:  # noqa: ARG002 - they read the files
        self._tell_followers()

    def check(self, problem: int) -> None:
        if problem:
            raise self._raised or InvariantViolation("an effect has failed")

    # Called from C

    def _try(self, effect: Callable[[], None]) -> int:
        try:
            effect()
        except BaseException as error:
            self._raised = error
            return 1
        return 0

    def _persist(self, _: None, position: int, batch: int, length: int) -> int:
        assert self._journal is not None
        if position != self._journal.end:
            self._raised = InvariantViolation(
                f"a batch for {position} came where the journal ends at {self._journal.end}"
            )
            return 1
        return self._try(lambda: self.persist(ctypes.string_at(batch, length)))

    def _publish(self, _: None, state: "ctypes._Pointer[c.State]") -> int:
        found = state.contents
        published = Published(
            Timestamp(found.acknowledged), SchemaVersion(found.schema_version), CatalogVersion(found.catalog_version)
        )
        return self._try(lambda: self.publish(published, Timestamp(found.lease_start)))

    def _feed(self, _: None, position: int, batch: int, length: int) -> int:
        return self._try(lambda: self.feed(Position(position), ctypes.string_at(batch, length)))
