"""Settings of the relay: the command line, checked once."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from borealis.foundation.command_line import add_identity, check_identity, positive
from borealis.foundation.identifiers import NANOSECONDS_PER_SECOND
from borealis.relay.holding import HoldLimits
from borealis.relay.limits import RateLimit
from borealis.relay.reception import ReceptionLimits
from borealis.relay.remote_fronts import GatewayAddress


class SessionLimits(NamedTuple):
    """How long a session may live: the longest time, less a random part of the jitter, so that they do not all end at
    once. What runs at its end gets its time from the front."""

    duration_ns_max: int = 3_600 * NANOSECONDS_PER_SECOND
    jitter_ns: int = 180 * NANOSECONDS_PER_SECOND


class FleetFiles(NamedTuple):
    """What this relay shows to gateways, and whom it believes; PEM. The certificate's purpose is `clientAuth`."""

    certificate: Path
    private_key: Path
    authority: Path


class Settings(NamedTuple):
    data: Path
    listen: tuple[str, ...]
    port: int
    """0: any that is free; `ready` names it."""
    certificate: Path
    private_key: Path
    audit_name: str
    uid: int | None
    gid: int | None
    gateways: tuple[GatewayAddress, ...] = ()
    fleet: FleetFiles | None = None
    reception: ReceptionLimits = ReceptionLimits()
    rate: RateLimit = RateLimit()
    session: SessionLimits = SessionLimits()
    hold: HoldLimits = HoldLimits()

    @property
    def host_socket(self) -> Path:
        return self.data / "run" / "host.sock"


def make_parser() -> argparse.ArgumentParser:
    reception, rate, session, hold = ReceptionLimits(), RateLimit(), SessionLimits(), HoldLimits()
    parser = argparse.ArgumentParser(
        prog="python -m borealis.relay",
        description="Relay: the one TLS endpoint of all clusters. SIGHUP reads the certificate anew.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add("--data", type=Path, required=True, help="data directory")
    add("--listen", action="append", metavar="ADDRESS", help="address to listen on; may be repeated (127.0.0.1)")
    add("--port", type=_port, default=5432, help="TCP port; 0 takes any that is free")
    add("--certificate", type=Path, metavar="FILE", help="PEM chain (DATA/certificates/server.pem)")
    add("--private-key", type=Path, metavar="FILE", help="PEM key (DATA/certificates/server.key)")
    add("--audit-name", default="relay", metavar="NAME", help="name of the files in DATA/log/audit")
    add(
        "--gateway",
        action="append",
        type=_gateway,
        metavar="NAME=HOST:PORT",
        help="gateway of another host, asked for clusters that this host cannot serve; may be repeated",
    )
    add("--fleet-certificate", type=Path, metavar="FILE", help="PEM chain to show to gateways")
    add("--fleet-private-key", type=Path, metavar="FILE", help="PEM key of it")
    add("--fleet-authority", type=Path, metavar="FILE", help="PEM certificate of the authority of our hosts")
    add_identity(parser)
    add("--rate", type=positive, default=rate.per_second, help="connections per second for each cluster")
    add("--burst", type=positive, default=rate.burst, help="connections at once for each cluster")
    add("--pending-max", type=positive, default=reception.total_max, help="connections that are not let in yet")
    add(
        "--pending-per-address-max",
        type=positive,
        default=reception.per_network_max,
        help="the same, from one IPv4 address or one /64 of IPv6",
    )
    add(
        "--first-byte-seconds",
        type=_seconds,
        default=_in_seconds(reception.silent_ns_max),
        help="time to say something",
    )
    add("--login-seconds", type=_seconds, default=_in_seconds(reception.dialogue_ns_max), help="time to log in")
    add(
        "--session-seconds",
        type=_seconds,
        default=_in_seconds(session.duration_ns_max),
        help="longest life of a session",
    )
    add(
        "--session-jitter-seconds",
        type=_seconds_or_none,
        default=_in_seconds(session.jitter_ns),
        help="sessions end up to so much earlier, at random",
    )
    add(
        "--hold-seconds",
        type=_seconds,
        default=_in_seconds(hold.ns_max),
        help="how long a session waits for a cluster that is being made or woken",
    )
    add("--held-max", type=positive, default=hold.sessions_max, help="sessions that wait so")
    return parser


def parse_settings(arguments: Sequence[str] | None = None) -> Settings:
    parser = make_parser()
    chosen = parser.parse_args(arguments)
    check_identity(parser, chosen)
    if chosen.session_jitter_seconds >= chosen.session_seconds:
        parser.error("--session-jitter-seconds must be less than --session-seconds")
    fleet = (chosen.fleet_certificate, chosen.fleet_private_key, chosen.fleet_authority)
    if any(fleet) != all(fleet) or (chosen.gateway and not all(fleet)):
        parser.error("--gateway, --fleet-certificate, --fleet-private-key and --fleet-authority go together")
    certificates = chosen.data / "certificates"
    return Settings(
        data=chosen.data,
        listen=tuple(chosen.listen or ["127.0.0.1"]),
        port=chosen.port,
        certificate=chosen.certificate or certificates / "server.pem",
        private_key=chosen.private_key or certificates / "server.key",
        audit_name=chosen.audit_name,
        gateways=tuple(chosen.gateway or ()),
        fleet=FleetFiles(*fleet) if all(fleet) else None,
        uid=chosen.uid,
        gid=chosen.gid,
        reception=ReceptionLimits()._replace(
            total_max=chosen.pending_max,
            per_network_max=chosen.pending_per_address_max,
            silent_ns_max=_nanoseconds(chosen.first_byte_seconds),
            dialogue_ns_max=_nanoseconds(chosen.login_seconds),
        ),
        rate=RateLimit(chosen.rate, chosen.burst),
        session=SessionLimits(_nanoseconds(chosen.session_seconds), _nanoseconds(chosen.session_jitter_seconds)),
        hold=HoldLimits(chosen.held_max, _nanoseconds(chosen.hold_seconds)),
    )


def _in_seconds(nanoseconds: int) -> float:
    return nanoseconds / NANOSECONDS_PER_SECOND


def _nanoseconds(seconds: float) -> int:
    return round(seconds * NANOSECONDS_PER_SECOND)


def _gateway(text: str) -> GatewayAddress:
    name, equals, address = text.partition("=")
    host, colon, port = address.rpartition(":")
    if not (name and equals and host and colon):
        raise ValueError(text)
    return GatewayAddress(name, host.strip("[]"), _port(port))


def _port(text: str) -> int:
    number = int(text)
    if not 0 <= number < 2**16:
        raise ValueError(text)
    return number


def _seconds(text: str) -> float:
    number = float(text)
    if not 0 < number < 1e9:
        raise ValueError(text)
    return number


def _seconds_or_none(text: str) -> float:
    return 0.0 if float(text) == 0 else _seconds(text)
