"""A process that is the gateway of a host with one front.

    python -m tests.integration.tls.gateway FRONT CHAIN KEY AUTHORITY

Prints the port that it listens on.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from borealis.channel import Gateway
from borealis.tls.handshake import ChannelContext
from borealis.wire.handover import HandOver


async def main(front: str, *files: str) -> None:
    async def find_front(_: HandOver) -> Path:
        return Path(front)

    gateway = Gateway(ChannelContext(*map(Path, files), connects=False), find_front, lambda _: Path(front))
    print(await gateway.start("127.0.0.1", 0), flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
