"""What `python -m borealis.control` is told."""

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from borealis.clusters.cluster import Installation
from borealis.clusters.names import (
    ACCOUNT_DEFAULT,
    DOMAIN_DEFAULT,
    REGION_DEFAULT,
    InvalidName,
    parse_account,
    parse_domain,
    parse_region,
)
from borealis.control.throttle import CallRate
from borealis.foundation.command_line import add_identity, check_identity, positive

CLUSTERS_MAX_DEFAULT = 20
PORT_DEFAULT = 8006


@dataclass(frozen=True)
class Settings:
    data: Path
    run: Path
    uid: int | None
    gid: int | None
    listen: str
    port: int
    installation: Installation
    # Both, or neither for plain HTTP.
    certificate: Path | None
    key: Path | None
    clusters_max: int
    rate: CallRate
    connections_max: int
    request_s: int

    @property
    def control(self) -> Path:
        return self.data / "control"

    @property
    def audit(self) -> Path:
        return self.data / "log" / "audit"

    @property
    def host_socket(self) -> Path:
        return self.run / "host.sock"


def parse_settings(arguments: Sequence[str] | None = None) -> Settings:
    parser = argparse.ArgumentParser(prog="python -m borealis.control", description="The API of Aurora DSQL.")
    parser.add_argument("--data", type=Path, required=True, help="data directory")
    parser.add_argument("--run", type=Path, help="directory of sockets (default: run in the data directory)")
    add_identity(parser)
    parser.add_argument("--listen", default="127.0.0.1", metavar="ADDRESS", help="default %(default)s")
    parser.add_argument("--port", type=int, default=PORT_DEFAULT, help="0 takes any (default %(default)s)")
    parser.add_argument("--certificate", type=Path, help="PEM file: speak TLS, with this certificate and its chain")
    parser.add_argument("--key", type=Path, help="PEM file: the certificate's private key")
    parser.add_argument("--account", type=_name(parse_account), default=ACCOUNT_DEFAULT, help="default %(default)s")
    parser.add_argument("--region", type=_name(parse_region), default=REGION_DEFAULT, help="default %(default)s")
    parser.add_argument("--domain", type=_name(parse_domain), default=DOMAIN_DEFAULT, help="default %(default)s")
    parser.add_argument(
        "--clusters-max",
        type=positive,
        default=CLUSTERS_MAX_DEFAULT,
        help="clusters that an account may have (default %(default)s)",
    )
    parser.add_argument(
        "--calls-per-second",
        type=positive,
        default=CallRate().calls_per_s,
        help="that an account may make (default %(default)s)",
    )
    parser.add_argument("--calls-burst", type=positive, default=CallRate().burst, help="at once (default %(default)s)")
    parser.add_argument("--connections-max", type=positive, default=250, help="default %(default)s")
    parser.add_argument(
        "--request-seconds",
        type=positive,
        default=15,
        help="how long a client may take to send a request (default %(default)s)",
    )
    chosen = parser.parse_args(arguments)
    check_identity(parser, chosen)
    if (chosen.certificate is None) != (chosen.key is None):
        parser.error("--certificate and --key go together")
    return Settings(
        data=chosen.data,
        run=chosen.run or chosen.data / "run",
        uid=chosen.uid,
        gid=chosen.gid,
        listen=chosen.listen,
        port=chosen.port,
        installation=Installation(chosen.account, chosen.region, chosen.domain),
        certificate=chosen.certificate,
        key=chosen.key,
        clusters_max=chosen.clusters_max,
        rate=CallRate(chosen.calls_per_second, chosen.calls_burst),
        connections_max=chosen.connections_max,
        request_s=chosen.request_seconds,
    )


def _name(parse: Callable[[str], str]) -> Callable[[str], str]:
    def convert(text: str) -> str:
        try:
            return parse(text)
        except InvalidName as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return convert
