"""Hand-overs on connections that break: what was certainly not received, and what nobody knows."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from borealis.foundation.errors import Unavailable, Unknown
from borealis.relay.front_links import LINKS_MAX, FrontLink, FrontLinks
from borealis.wire.handover import CancelRequest, Refusal, encode_refused, encode_taken

SECRET = b"TAKE with its keys"


@contextmanager
def listening(folder: Path) -> Iterator[tuple[Path, socket.socket]]:
    path = folder / "front.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        yield path, listener


async def read(connection: socket.socket, count: int) -> bytes:
    connection.setblocking(False)
    return await asyncio.get_running_loop().sock_recv(connection, count)


def test_what_was_not_sent_was_not_received(tmp_path: Path) -> None:
    async def run() -> None:
        with listening(tmp_path) as (path, listener):
            link = FrontLink.open(path)
            listener.accept()[0].close()
            frame = bytearray(SECRET)
            with pytest.raises(Unavailable):
                await link.take(frame, 0)
            assert link.is_broken
            assert frame == bytes(len(SECRET))

    asyncio.run(run())


def test_what_was_sent_may_have_been_received(tmp_path: Path) -> None:
    async def run() -> None:
        with listening(tmp_path) as (path, listener):
            link = FrontLink.open(path)
            front, _ = listener.accept()
            frame = bytearray(SECRET)
            taking = asyncio.create_task(link.take(frame, 0))
            assert await read(front, 100) == SECRET
            assert frame == bytes(len(SECRET))
            front.close()
            with pytest.raises(Unknown):
                await taking
            assert link.is_broken

    asyncio.run(run())


@pytest.mark.parametrize("answer", [b"x" * 16, encode_taken() * 2])
def test_a_front_that_breaks_a_rule_is_given_up(tmp_path: Path, answer: bytes) -> None:
    async def run() -> None:
        with listening(tmp_path) as (path, listener):
            link = FrontLink.open(path)
            front, _ = listener.accept()
            taking = asyncio.create_task(link.take(bytearray(SECRET), 0))
            await read(front, 100)
            front.send(answer)
            with pytest.raises(Unknown):
                await taking
            assert link.is_broken
            front.close()

    asyncio.run(run())


def test_a_session_that_gives_up_waiting_breaks_its_link(tmp_path: Path) -> None:
    """Its answer may still come: whoever uses the link next must not take it for its own."""

    async def run() -> None:
        with listening(tmp_path) as (path, listener):
            link = FrontLink.open(path)
            front, _ = listener.accept()
            taking = asyncio.create_task(link.take(bytearray(SECRET), 0))
            await read(front, 100)
            taking.cancel()
            with pytest.raises(asyncio.CancelledError):
                await taking
            assert link.is_broken
            front.close()

    asyncio.run(run())


def test_more_sessions_than_links_take_turns(tmp_path: Path) -> None:
    async def serve(listener: socket.socket, count: int) -> None:
        loop = asyncio.get_running_loop()
        listener.setblocking(False)
        tasks = []
        for _ in range(count):
            front, _ = await loop.sock_accept(listener)
            tasks.append(asyncio.create_task(answer(front)))
        await asyncio.gather(*tasks)

    async def answer(front: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        with front:
            while await read(front, len(SECRET)):
                await loop.sock_sendall(front, encode_taken())

    async def run() -> None:
        with listening(tmp_path) as (path, listener):
            serving = asyncio.create_task(serve(listener, LINKS_MAX))
            links = FrontLinks(path)
            readable, writable = os.pipe()
            takes = [links.take(lambda: bytearray(SECRET), readable) for _ in range(20 * LINKS_MAX)]
            assert await asyncio.gather(*takes) == [None] * (20 * LINKS_MAX)
            links.close()
            assert links.is_empty
            await serving
            os.close(readable)
            os.close(writable)

    asyncio.run(run())


def test_a_link_is_used_again_after_a_refusal(tmp_path: Path) -> None:
    refusal = Refusal("53300", "too many", "come back later")

    async def run() -> None:
        with listening(tmp_path) as (path, listener):
            links = FrontLinks(path)
            taking = asyncio.create_task(links.take(lambda: bytearray(SECRET), 0))
            await asyncio.sleep(0)
            front, _ = listener.accept()
            await read(front, 100)
            front.send(encode_refused(refusal))
            assert await taking == refusal
            await links.cancel(CancelRequest(1, 2))
            assert len(await read(front, 100)) == 24
            links.close()
            front.close()

    asyncio.run(run())


def test_without_a_front_there_is_no_link(tmp_path: Path) -> None:
    async def run() -> None:
        with pytest.raises(Unavailable):
            await FrontLinks(tmp_path / "front.sock").take(lambda: bytearray(SECRET), 0)

    asyncio.run(run())
