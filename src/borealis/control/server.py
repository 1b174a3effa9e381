"""The shell of the control service: the listening socket, the connections, the clock; start, signals, the end."""

import asyncio
import logging
import os
import signal
import ssl
from contextlib import suppress
from pathlib import Path
from typing import Final, NoReturn

from borealis.audit import AuditLog
from borealis.clusters.store import ClusterStore
from borealis.control.address import reachable_address, write_address
from borealis.control.answers import HttpAnswer
from borealis.control.api import Api
from borealis.control.cluster_operations import Surroundings
from borealis.control.hosted import HostedClusters
from borealis.control.http_connection import HttpConnection, TimeLimits
from borealis.control.http_request import HttpRequest
from borealis.control.permissions import Permissions
from borealis.control.settings import Settings
from borealis.control.settling import Settling
from borealis.control.throttle import Throttle
from borealis.foundation.clock import Clock
from borealis.foundation.errors import InvariantViolation, Unavailable
from borealis.iam.credentials import CredentialSource
from borealis.placement import HostClient

_log = logging.getLogger("control")
_BACKLOG: Final = 100
_HANDSHAKE_S: Final = 10.0
_STOP_S: Final = 5.0
_EXIT_INVARIANT: Final = 70


def die(error: BaseException) -> NoReturn:
    """End the process at once: what is stored is all that counts, and the supervisor starts a new one."""
    _log.critical("the control service stops at once: %s", error, exc_info=error)
    logging.shutdown()
    os._exit(_EXIT_INVARIANT)


class ControlServer:
    """`close` what it was given is the caller's business."""

    def __init__(
        self, settings: Settings, store: ClusterStore, credentials: CredentialSource, audit: AuditLog, clock: Clock
    ) -> None:
        self._settings = settings
        self._host = HostClient(settings.host_socket)
        self._settling = Settling(store, self._host)
        hosted = HostedClusters(self._host, clock)
        around = Surroundings(
            store=store,
            permissions=Permissions(settings.installation.region),
            clusters_max=settings.clusters_max,
            names_ahead=hosted.names_ahead,
            show_status=hosted.show_status,
            settle=self._settling.settle,
        )
        is_secure = settings.certificate is not None
        self._api = Api(around, credentials, Throttle(settings.rate), audit, clock, is_secure=is_secure)
        self._limits = TimeLimits(request_s=settings.request_s)
        self._connections: set[HttpConnection] = set()
        self._is_empty = asyncio.Event()

    async def run(self) -> None:
        """Until SIGTERM or SIGINT. Raises Unavailable when it cannot begin."""
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(_take_exception)
        stopping = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stopping.set)
        listener = await self._listen(loop)
        self._settling.settle_all()
        where = listener.sockets[0].getsockname()[:2]
        write_address(self._settings.run, where, self._settings.installation.region, self._settings.certificate)
        print(f"ready {reachable_address(*where)}", flush=True)
        await stopping.wait()
        listener.close()
        await self._stop()

    async def _listen(self, loop: asyncio.AbstractEventLoop) -> asyncio.Server:
        settings = self._settings
        context = _load_certificate(settings.certificate, settings.key)
        try:
            return await loop.create_server(
                self._make_connection,
                settings.listen,
                settings.port,
                ssl=context,
                ssl_handshake_timeout=_HANDSHAKE_S if context else None,
                backlog=_BACKLOG,
            )
        except OSError as error:
            raise Unavailable(f"cannot listen on {settings.listen}, port {settings.port}: {error.strerror}") from error

    def _make_connection(self) -> HttpConnection:
        return HttpConnection(self._answer, self._open, self._close, self._limits)

    def _open(self, connection: HttpConnection) -> bool:
        if len(self._connections) >= self._settings.connections_max:
            return False
        self._connections.add(connection)
        return True

    def _close(self, connection: HttpConnection) -> None:
        self._connections.discard(connection)
        if not self._connections:
            self._is_empty.set()

    async def _answer(self, request: HttpRequest) -> HttpAnswer:
        try:
            return await self._api.answer(request)
        except InvariantViolation as error:
            die(error)

    async def _stop(self) -> None:
        self._is_empty.clear()
        for connection in list(self._connections):
            connection.stop()
        if self._connections:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._is_empty.wait(), _STOP_S)
        await self._settling.stop()
        await self._host.close()


def _load_certificate(certificate: Path | None, key: Path | None) -> ssl.SSLContext | None:
    if certificate is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(certificate, key)
    except (OSError, ssl.SSLError) as error:
        raise Unavailable(f"the certificate {certificate} with the key {key} cannot be used: {error}") from error
    return context


def _take_exception(loop: asyncio.AbstractEventLoop, context: dict[str, object]) -> None:
    error = context.get("exception")
    if isinstance(error, InvariantViolation):
        die(error)
    loop.default_exception_handler(context)
