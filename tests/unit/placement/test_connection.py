"""Questions to the host, over a real socket."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from borealis.placement.connection import HostConnection


def test_a_question_that_is_cancelled_when_the_host_dies_is_cancelled(tmp_path: Path) -> None:
    async def ask() -> None:
        asked, over = asyncio.Event(), asyncio.Event()

        async def hear(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readline()
            asked.set()
            await reader.read()
            writer.close()
            await writer.wait_closed()
            over.set()

        async with await asyncio.start_unix_server(hear, tmp_path / "host.sock"):
            connection = HostConnection(tmp_path / "host.sock")
            question = asyncio.create_task(connection.ask("list"))
            await asked.wait()
            # The loss is noticed, and whoever asks has not heard of it yet.
            assert connection._reading is not None
            connection._reading.cancel()
            await asyncio.sleep(0)
            question.cancel()
            with pytest.raises(asyncio.CancelledError):
                await question
            await over.wait()

    asyncio.run(ask())
