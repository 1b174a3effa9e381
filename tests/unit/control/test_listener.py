"""How the API's listening socket ends, over real ones."""

from __future__ import annotations

import asyncio
import http.client
import ssl
from pathlib import Path

from borealis.control.answers import HttpAnswer
from borealis.control.http_connection import TimeLimits
from borealis.control.http_request import HttpRequest
from borealis.control.listener import Listener
from tests.certificates import Authority

GIVE_UP_S = 30.0


async def answer(request: HttpRequest) -> HttpAnswer:
    return HttpAnswer(200, (), request.target.encode())


def ask(client: http.client.HTTPConnection) -> bytes:
    client.request("GET", "/here")
    return client.getresponse().read()


def test_clients_that_keep_their_connection_are_not_waited_for(tmp_path: Path) -> None:
    """They do not look at it, so they do not say farewell either, as TLS asks of them."""
    certificate = Authority(tmp_path).issue("localhost")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate.chain, certificate.key)

    async def live() -> None:
        listener = Listener(answer, TimeLimits(take_s=2 * GIVE_UP_S), 10, context)
        client = http.client.HTTPSConnection(*listener.open("127.0.0.1", 0), context=ssl._create_unverified_context())
        assert await asyncio.to_thread(ask, client) == b"/here"
        await asyncio.wait_for(listener.close(wait_s=2 * GIVE_UP_S), GIVE_UP_S)
        client.close()

    asyncio.run(live())
