"""One connection to the host's control socket: requests and answers by number, events in between, and reconnecting.

Promises: a request is answered, or fails with Unavailable once the connection is lost (an order may have been carried
out by then); a lost connection is made again for as long as somebody needs it.
"""

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from borealis.foundation.errors import Malformed, Unavailable
from borealis.placement.messages import LINE_BYTES_MAX, Fields, decode_line, encode_line
from borealis.placement.table import UnknownCluster

logger = logging.getLogger(__name__)

RECONNECT_S = 0.1
# How long an order may take; starting a cluster replays its whole catalog.
ANSWER_S = 60.0


class HostConnection:
    """`on_event` hears each line that is not an answer; `on_lost`, that events may have been missed."""

    def __init__(
        self,
        path: Path,
        on_event: Callable[[Fields], None] | None = None,
        on_lost: Callable[[], None] | None = None,
    ) -> None:
        self._path = path
        self._on_event = on_event
        self._on_lost = on_lost
        self._writer: asyncio.StreamWriter | None = None
        self._reading: asyncio.Task[None] | None = None
        self._waiting: dict[int, asyncio.Future[Fields]] = {}
        self._numbers = 0
        self._connecting = asyncio.Lock()

    async def ask(self, operation: str, cluster: str | None = None) -> Fields:
        """The answer's fields. Raises UnknownCluster, or Unavailable with the reason."""
        async with self._connecting:
            if self._writer is None:
                await self._connect()
        assert self._writer is not None
        self._numbers += 1
        number = self._numbers
        answer: asyncio.Future[Fields] = asyncio.get_running_loop().create_future()
        self._waiting[number] = answer
        request: Fields = {"id": number, "do": operation}
        if cluster is not None:
            request["cluster"] = cluster
        self._writer.write(encode_line(request))
        try:
            # Not wait_for, which forgets a cancellation that meets an answer: a service would go on after its end.
            async with asyncio.timeout(ANSWER_S):
                fields = await answer
        except TimeoutError:
            raise Unavailable("the host does not answer") from None
        finally:
            self._waiting.pop(number, None)
        if "error" in fields:
            kind = UnknownCluster if fields["error"] == "unknown_cluster" else Unavailable
            raise kind(str(fields.get("text", fields["error"])))
        return fields

    async def close(self) -> None:
        if self._reading is not None:
            self._reading.cancel()
            with suppress(asyncio.CancelledError):
                await self._reading

    async def _connect(self) -> None:
        try:
            reader, self._writer = await asyncio.open_unix_connection(str(self._path), limit=LINE_BYTES_MAX)
        except OSError as error:
            raise Unavailable(f"the host cannot be reached at {self._path}: {error.strerror}") from error
        self._reading = asyncio.create_task(self._read(reader, self._writer))

    async def _read(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while line := await reader.readline():
                self._take(decode_line(line))
        except OSError as error:  # a host that was killed; whoever needs it connects again
            logger.warning("connection to the host: %s", error)
        except (ValueError, Malformed) as error:
            logger.error("connection to the host: %s", error)
        finally:
            writer.close()
            self._writer = None
            for answer in self._waiting.values():
                if not answer.done():
                    answer.set_exception(Unavailable("the connection to the host was lost"))
            if self._on_lost is not None:
                self._on_lost()

    def _take(self, fields: Fields) -> None:
        number = fields.get("id")
        if number is None:
            if self._on_event is not None:
                self._on_event(fields)
            return
        answer = self._waiting.get(number)
        if answer is not None and not answer.done():
            answer.set_result(fields)
