"""`python -m borealis.relay`: the relay as a process. Prints `port N` and `ready` when it serves."""

import logging
import socket
import sys

import uvloop

from borealis.audit import AuditLog
from borealis.foundation.clock import SystemClock
from borealis.foundation.errors import BorealisError
from borealis.foundation.privileges import drop_privileges
from borealis.placement.placement import Placement
from borealis.relay.gatekeeper import Gatekeeper
from borealis.relay.hand_over import HandOvers
from borealis.relay.holding import Holding
from borealis.relay.limits import ConnectionRates
from borealis.relay.remote_fronts import RemoteFront
from borealis.relay.server import RelayServer, open_listeners, raise_descriptor_limit
from borealis.relay.settings import Settings, parse_settings
from borealis.tls.handshake import ChannelContext


async def _serve(settings: Settings, listeners: list[socket.socket], descriptors_max: int) -> None:
    clock = SystemClock()
    audit = AuditLog(settings.data / "log" / "audit", settings.audit_name)
    gatekeeper = Gatekeeper(settings.data / "control", ConnectionRates(settings.rate), audit, clock)
    try:
        async with Placement(settings.host_socket) as placement:
            hand_overs = HandOvers(
                placement, Holding(placement, settings.hold), _remote_fronts(settings), settings.session, clock
            )
            await RelayServer(settings, listeners, gatekeeper, hand_overs, descriptors_max).run()
    finally:
        gatekeeper.close()


def _remote_fronts(settings: Settings) -> list[RemoteFront]:
    if settings.fleet is None:
        return []
    context = ChannelContext(*settings.fleet, connects=True)
    return [RemoteFront(gateway, context) for gateway in settings.gateways]


def main() -> int:
    logging.basicConfig(
        stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s relay %(name)s: %(message)s"
    )
    settings = parse_settings()
    try:
        descriptors_max = raise_descriptor_limit()
        listeners = open_listeners(settings.listen, settings.port)  # first: low ports are root's
        drop_privileges(settings.uid, settings.gid)
        uvloop.run(_serve(settings, listeners, descriptors_max))
    except OSError as error:
        logging.critical("%s", error)
        return 1
    except BorealisError as error:
        logging.critical("%s", error)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
