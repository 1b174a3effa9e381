"""The shell of the control service: the listening socket, the connections, the clock; start, signals, the end."""

import asyncio
import logging
import os
import signal
import ssl
from pathlib import Path
from typing import Final, NoReturn

from borealis.audit import AuditLog
from borealis.clusters.store import ClusterStore
from borealis.control.address import reachable_address, write_address
from borealis.control.answers import HttpAnswer
from borealis.control.api import Api
from borealis.control.cluster_operations import Surroundings
from borealis.control.hosted import HostedClusters
from borealis.control.http_connection import TimeLimits
from borealis.control.http_request import HttpRequest
from borealis.control.listener import Listener
from borealis.control.permissions import Permissions
from borealis.control.settings import Settings
from borealis.control.settling import Settling
from borealis.control.throttle import Throttle
from borealis.foundation.clock import Clock
from borealis.foundation.errors import InvariantViolation, Unavailable
from borealis.iam.credentials import CredentialSource
from borealis.placement.host_client import HostClient

_log = logging.getLogger("control")
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
        self._listener = Listener(
            self._answer,
            TimeLimits(request_s=settings.request_s),
            settings.connections_max,
            _load_certificate(settings.certificate, settings.key),
        )

    async def run(self) -> None:
        """Until SIGTERM or SIGINT. Raises Unavailable when it cannot begin."""
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(_take_exception)
        stopping = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stopping.set)
        loop.add_signal_handler(signal.SIGHUP, self._renew_certificate)
        where = self._listener.open(self._settings.listen, self._settings.port)
        self._settling.settle_all()
        write_address(self._settings.run, where, self._settings.installation.region, self._settings.certificate)
        print(f"ready {reachable_address(*where)}", flush=True)
        await stopping.wait()
        await self._listener.close(_STOP_S)
        await self._settling.stop()
        await self._host.close()

    def _renew_certificate(self) -> None:
        """Connections that are there go on with the former one; so does everybody, if the new one cannot be used."""
        try:
            self._listener.replace_context(_load_certificate(self._settings.certificate, self._settings.key))
        except Unavailable as error:
            _log.error("the certificate stays as it was: %s", error)
        else:
            _log.info("the certificate has been read anew")

    async def _answer(self, request: HttpRequest) -> HttpAnswer:
        try:
            return await self._api.answer(request)
        except InvariantViolation as error:
            die(error)


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
