"""The connection to the transaction service's journal socket.

Owns the socket and what is said on it. What arrives goes to the follower (follower.py), which also says how far the map
is, so that everything is sent in one order.
"""

import os
import socket
from pathlib import Path

from borealis.foundation.errors import Unavailable
from borealis.foundation.identifiers import Position
from borealis.storage.follower import Follower
from borealis.wire.frames import encode_frame
from borealis.wire.journal_messages import JournalFrame, encode_position


class LinkLost(Unavailable):
    """The service closed the connection or went away."""


def lost(error: int) -> LinkLost:
    """`error`: what the system said, 0 if the service has closed the connection."""
    if error:
        return LinkLost(f"the journal connection was lost: {os.strerror(error)}")
    return LinkLost("the transaction service closed the journal connection")


class JournalLink:
    """One connection; made anew after each loss."""

    def __init__(self, path: Path, follower: Follower) -> None:
        """Connect. Raises LinkLost when nobody listens."""
        self._follower = follower
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._socket.connect(str(path))
        except OSError as error:
            self._socket.close()
            raise LinkLost(f"{path}: {error.strerror}") from error
        follower.connect(self._socket.fileno())

    def follow(self, position: Position) -> None:
        self._send(JournalFrame.FOLLOW, encode_position(position))

    def report_applied(self) -> None:
        """Say how far the map is, now. Raises LinkLost."""
        _check(self._follower.report())

    def note_applied(self) -> None:
        """Say how far the map is, soon. Raises LinkLost."""
        _check(self._follower.note_applied())

    def report_snapshot(self, position: Position) -> None:
        self._send(JournalFrame.SNAPSHOT, encode_position(position))

    def close(self) -> None:
        self._follower.disconnect()
        self._socket.close()

    def _send(self, frame_type: JournalFrame, payload: bytes) -> None:
        _check(self._follower.send(encode_frame(frame_type, 0, payload)))


def _check(error: int) -> None:
    if error:
        raise lost(error)
