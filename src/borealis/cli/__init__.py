"""The `borealis` command: `up`, `status`, `psql`, `env`, `token`. Arguments in, sentences out; the work is the
host's."""

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from borealis.cli.cluster_arguments import add_cluster
from borealis.cli.iam import add_iam
from borealis.foundation.command_line import positive
from borealis.foundation.errors import Unavailable

DATA_DEFAULT = Path("data")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = build_parser()
    options, unknown = parser.parse_known_args(arguments)
    if options.run is _run_psql:
        # What is not ours is psql's, with or without a "--" in between.
        if "--" in unknown:
            unknown.remove("--")
        options.arguments = unknown
    elif unknown:
        parser.error(f"unrecognized arguments: {' '.join(unknown)}")
    try:
        status: int = options.run(options)
    except Unavailable as error:
        print(f"borealis: {error}", file=sys.stderr)
        return 1
    return status


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="borealis", description="A PostgreSQL-compatible distributed database.")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    _add_up(commands)
    _add_status(commands)
    _add_psql(commands)
    add_cluster(commands, _add_data, _run_cluster)
    add_iam(commands, DATA_DEFAULT)
    _add_env(commands)
    _add_token(commands)
    return parser


def _add_up(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    up = commands.add_parser("up", help="start Borealis and run until Ctrl-C")
    _add_data(up)
    up.add_argument(
        "--port", type=_port, default=5432, metavar="N", help="the one port of all clusters (default: 5432)"
    )
    up.add_argument("--api-port", type=_port, default=8006, metavar="N", help="port of the API (default: 8006)")
    up.add_argument(
        "--listen",
        type=_address,
        default="127.0.0.1",
        metavar="ADDRESS",
        help="where both ports are open; 0.0.0.0: on all addresses of IPv4, ::, of both kinds (default: loopback only)",
    )
    up.add_argument(
        "--direct-port",
        type=_port,
        metavar="N",
        help="open the first cluster's instances on loopback, on ports from N on, without TLS and without passwords",
    )
    up.add_argument(
        "--region", type=_region, default="us-east-1", help="region in the names of endpoints (default: us-east-1)"
    )
    up.add_argument(
        "--domain", type=_domain, default="localhost", help="domain below which endpoints are (default: localhost)"
    )
    up.add_argument(
        "--hosts",
        type=Path,
        metavar="FILE",
        help="keep the names of clusters in this file: /etc/hosts, where *.localhost is not known otherwise",
    )
    up.add_argument(
        "--account",
        type=_account,
        default="000000000000",
        metavar="DIGITS",
        help="the account that owns all (default: 000000000000)",
    )
    up.add_argument(
        "--certificate",
        type=Path,
        metavar="FILE",
        help="your own certificate (PEM, with its chain) instead of one of the local authority; needs --key",
    )
    up.add_argument("--key", type=Path, metavar="FILE", help="the private key of --certificate (PEM)")
    up.add_argument(
        "--authority",
        type=Path,
        metavar="FILE",
        help="what --certificate is verified with (PEM), if neither this system nor its chain tells: for borealis env",
    )
    up.add_argument(
        "--clusters-max",
        type=positive,
        default=20,
        metavar="N",
        help="clusters that there may be (default: 20, as many as an account of AWS may have)",
    )
    up.add_argument(
        "--connection-limit",
        type=positive,
        default=10_000,
        metavar="N",
        help="connections that a cluster holds, all its instances together (default: 10000)",
    )
    up.add_argument(
        "--connection-rate",
        type=positive,
        default=100,
        metavar="N",
        help="connections that a cluster takes in a second (default: 100)",
    )
    up.add_argument("--connection-burst", type=positive, default=1000, metavar="N", help="and at once (default: 1000)")
    up.add_argument(
        "--instances",
        type=_instances,
        default=1,
        metavar="N",
        help="query processors of each cluster (default: 1)",
    )
    up.add_argument(
        "--spares",
        type=_count,
        default=0,
        metavar="N",
        help="blank clusters started ahead, so that creating one takes no time; some 40 MB each (default: none)",
    )
    up.add_argument(
        "--sleep-after",
        type=_count,
        default=3600,
        metavar="SECONDS",
        help="stop a cluster that had no session for so long, until the next comes (default: 3600; 0: never)",
    )
    up.add_argument(
        "--max-connections", type=positive, default=100, metavar="N", help="backends of each instance (default: 100)"
    )
    up.add_argument(
        "--transaction-age-limit",
        type=_transaction_age,
        default=300,
        metavar="SECONDS",
        help="how long a transaction may take (default: 300)",
    )
    up.add_argument(
        "--set",
        type=_setting,
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a PostgreSQL setting for every instance, such as work_mem=64MB; may be repeated",
    )
    up.set_defaults(run=_run_up)


def _add_status(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    status = commands.add_parser("status", help="what runs, and how far each part has come")
    _add_data(status)
    status.add_argument("--json", action="store_true", help="for programs")
    status.set_defaults(run=_run_status)


def _add_psql(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    psql = commands.add_parser(
        "psql",
        help="open psql on an instance",
        usage="borealis psql [--data DIR] [--cluster ID] [--instance N] [OPTION OF PSQL ...]",
        allow_abbrev=False,
    )
    _add_data(psql)
    _add_cluster(psql)
    psql.add_argument("--instance", type=int, default=1, metavar="N", help="number of the instance (default: 1)")
    psql.set_defaults(run=_run_psql)


def _add_env(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    env = commands.add_parser("env", help='shell exports for AWS tools and Postgres clients: eval "$(borealis env)"')
    _add_data(env)
    _add_cluster(env)
    env.set_defaults(run=_run_env)


def _add_token(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    token = commands.add_parser("token", help="a password for a cluster, signed by the built-in administrator")
    _add_data(token)
    _add_cluster(token)
    token.add_argument("--user", default="admin", metavar="NAME", help="the database user (default: admin)")
    token.add_argument(
        "--expires", type=positive, default=900, metavar="SECONDS", help="how long it is good for (default: 900)"
    )
    token.set_defaults(run=_run_token)


def _add_cluster(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--cluster", metavar="ID", help="the cluster (default: the first)")


def _add_data(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--data", type=Path, default=DATA_DEFAULT, metavar="DIR", help="the data directory (default: ./data)"
    )


def _port(text: str) -> int:
    port = int(text)
    if not 1024 <= port <= 65535:
        raise argparse.ArgumentTypeError("a port is between 1024 and 65535")
    return port


def _address(text: str) -> str:
    from ipaddress import ip_address

    try:
        return str(ip_address(text))
    except ValueError:
        raise argparse.ArgumentTypeError("an address is one such as 127.0.0.1, 0.0.0.0 or ::") from None


def _region(text: str) -> str:
    from borealis.clusters.names import parse_region

    return _parse_name(parse_region, text)


def _domain(text: str) -> str:
    from borealis.clusters.names import parse_domain

    return _parse_name(parse_domain, text)


def _account(text: str) -> str:
    from borealis.clusters.names import parse_account

    return _parse_name(parse_account, text)


def _parse_name(parse: Callable[[str], str], text: str) -> str:
    from borealis.clusters.names import InvalidName

    try:
        return parse(text)
    except InvalidName as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _count(text: str) -> int:
    count = int(text)
    if count < 0:
        raise argparse.ArgumentTypeError("0 or more")
    return count


def _transaction_age(text: str) -> int:
    from borealis.host import TRANSACTION_AGE_LIMIT_S_MAX

    seconds = int(text)
    if not 1 <= seconds <= TRANSACTION_AGE_LIMIT_S_MAX:
        raise argparse.ArgumentTypeError(f"between 1 and {TRANSACTION_AGE_LIMIT_S_MAX} seconds")
    return seconds


def _setting(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not all(part.isidentifier() for part in name.split(".")):
        raise argparse.ArgumentTypeError("a setting is NAME=VALUE")
    return name, value


def _instances(text: str) -> int:
    from borealis.host import INSTANCES_MAX

    count = int(text)
    if not 1 <= count <= INSTANCES_MAX:
        raise argparse.ArgumentTypeError(f"between 1 and {INSTANCES_MAX} instances")
    return count


# Each command imports what it needs when it runs: a host that runs for months does not carry the others.


def _run_up(options: argparse.Namespace) -> int:
    from borealis.cli.up import up

    return up(options)


def _run_status(options: argparse.Namespace) -> int:
    from borealis.cli.status import status

    return status(options)


def _run_env(options: argparse.Namespace) -> int:
    from borealis.cli.env import env

    return env(options)


def _run_token(options: argparse.Namespace) -> int:
    from borealis.cli.env import token

    return token(options)


def _run_psql(options: argparse.Namespace) -> int:
    from borealis.cli.psql import psql

    return psql(options)


def _run_cluster(options: argparse.Namespace) -> int:
    from borealis.cli.cluster import cluster

    return cluster(options)
