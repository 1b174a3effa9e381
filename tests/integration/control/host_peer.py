"""A small host for the tests of the control service: it speaks the host's protocol, and a cluster of its is a folder.

A process of its own (`python -m tests.integration.control.host_peer SOCKET FOLDER`), so that it can be killed like the
real one. What the test wants of it stands in files of FOLDER: `ahead` (names of clusters started ahead), `refuse` (the
text with which creations are refused), `hold` (orders wait until it is gone), `asleep` (names of clusters that sleep),
`sessions` (names of those with sessions). Each order that was carried out is a line of `orders`.
"""

import asyncio
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

from borealis.placement.messages import Request, decode_request, encode_line

# Between looks at a file that a test will remove.
LOOK_S = 0.005


class HostPeer:
    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._clusters = folder / "clusters"
        self._clusters.mkdir(exist_ok=True)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks = []
        with suppress(ConnectionError):
            while line := await reader.readline():
                tasks.append(asyncio.create_task(self._answer(decode_request(line), writer)))
        for task in tasks:
            task.cancel()
        writer.close()

    async def _answer(self, request: Request, writer: asyncio.StreamWriter) -> None:
        if request.operation != "list":
            while (self._folder / "hold").exists():
                await asyncio.sleep(LOOK_S)
        fields = self._perform(request)
        if request.operation != "list" and "error" not in fields:
            with (self._folder / "orders").open("a") as orders:
                orders.write(f"{request.operation} {request.cluster}\n")
        writer.write(encode_line({"id": request.number, **fields}))

    def _perform(self, request: Request) -> dict[str, Any]:
        if request.operation == "list":
            return {
                "clusters": [self._describe(path.name) for path in self._clusters.iterdir()],
                "ahead": self._ahead(),
            }
        assert request.cluster is not None
        path = self._clusters / request.cluster
        match request.operation:
            case "create" if refusal := self._read("refuse"):
                return {"error": "unavailable", "text": " ".join(refusal)}
            case "create" if path.exists():
                return {"error": "exists", "text": f"cluster {request.cluster} exists"}
            case "create":
                path.mkdir()
            case "start" if not path.exists():
                return {"error": "unknown_cluster", "text": f"there is no cluster {request.cluster}"}
            case "delete" if path.exists():
                path.rmdir()
        return {"cluster": request.cluster, "fronts": []}

    def _describe(self, name: str) -> dict[str, Any]:
        state = "asleep" if name in self._read("asleep") else "awake"
        return {"cluster": name, "state": state, "fronts": [], "sessions": int(name in self._read("sessions"))}

    def _ahead(self) -> list[str]:
        return [name for name in self._read("ahead") if not (self._clusters / name).exists()]

    def _read(self, name: str) -> list[str]:
        try:
            return (self._folder / name).read_text().split()
        except FileNotFoundError:
            return []


async def main(path: Path, folder: Path) -> None:
    path.unlink(missing_ok=True)
    server = await asyncio.start_unix_server(HostPeer(folder).serve, path)
    print("ready", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), Path(sys.argv[2])))
