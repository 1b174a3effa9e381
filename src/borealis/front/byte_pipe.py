"""Reading and writing sockets that never block, by descriptor: no object for each connection.

Owns the translation of what the kernel says. Promises: nothing is lost of what it did not take, and every way in which
a peer can vanish is `PeerGone`.
"""

import os
import socket


class PeerGone(Exception):  # noqa: N818 - it says what happened
    """The other side of a connection is not there any more."""


class PeerReset(PeerGone):
    """It left something unread that had been sent. Of a Unix socket of Linux that is certain."""


def read_some(descriptor: int, maximum: int) -> bytes | None:
    """None if nothing has arrived. Raises PeerGone at the end of the stream."""
    try:
        data = os.read(descriptor, maximum)
    except BlockingIOError:
        return None
    except ConnectionResetError as error:
        raise PeerReset(str(error)) from None
    except OSError as error:
        raise PeerGone(str(error)) from None
    if not data:
        raise PeerGone("the connection was closed")
    return data


def write_some(descriptor: int, data: bytes) -> bytes:
    """What the kernel did not take. Raises PeerGone."""
    try:
        written = os.write(descriptor, data)
    except BlockingIOError:
        return data
    except OSError as error:
        raise PeerGone(str(error)) from None
    return data[written:] if written < len(data) else b""


def connect_unix(path: str) -> int:
    """A connected descriptor that does not block. Raises OSError; BlockingIOError if too many wait to be accepted."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    try:
        connection.connect(path)
    except OSError:
        connection.close()
        raise
    return connection.detach()


def stop_writing(descriptor: int) -> None:
    """The peer reads to the end of what was sent."""
    connection = socket.socket(fileno=descriptor)
    try:
        connection.shutdown(socket.SHUT_WR)
    except OSError:
        pass
    finally:
        connection.detach()
