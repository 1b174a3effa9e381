"""`borealis env` and `borealis token`: what clients need, as shell exports and as a password."""

import argparse
import shlex
from collections.abc import Iterator

from borealis.cli.access import ADMIN, DATABASE, Access, find_access

# Left over from other work, they would lead clients elsewhere or give them other credentials.
MISLEADING = (
    "AWS_SESSION_TOKEN",
    "AWS_SECURITY_TOKEN",
    "AWS_PROFILE",
    "AWS_DEFAULT_PROFILE",
    "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS",
    "PGSERVICE",
)
# A token in the environment should outlive a working day's attention; connectors make their own.
PASSWORD_S = 12 * 3600


def env(options: argparse.Namespace) -> int:
    access = find_access(options.data, options.cluster)
    # An address may have been set before the name could be resolved.
    print("unset", *MISLEADING, *(("PGHOSTADDR",) if access.address is None else ()))
    for name, value in variables(access):
        print(f"export {name}={shlex.quote(value)}")
    return 0


def variables(access: Access) -> Iterator[tuple[str, str]]:
    trust = str(access.files.trust)
    yield from {
        # AWS SDKs and the AWS CLI
        "AWS_ENDPOINT_URL_DSQL": access.api_url,
        "AWS_REGION": access.endpoint.region,
        "AWS_DEFAULT_REGION": access.endpoint.region,
        "AWS_ACCESS_KEY_ID": access.key.id,
        "AWS_SECRET_ACCESS_KEY": access.key.secret.reveal(),
        # What this machine trusts, and our authority.
        "AWS_CA_BUNDLE": trust,
        "NODE_EXTRA_CA_CERTS": trust,
        "SSL_CERT_FILE": trust,
        # libpq and what is built on it
        "PGHOST": str(access.endpoint),
        "PGPORT": str(access.port),
        "PGUSER": ADMIN,
        "PGDATABASE": DATABASE,
        "PGSSLMODE": "verify-full",
        "PGSSLROOTCERT": trust,
        "PGPASSWORD": access.token(ADMIN, PASSWORD_S),
        # Examples of AWS
        "CLUSTER_ID": access.endpoint.identifier,
        "CLUSTER_ENDPOINT": str(access.endpoint),
        "CLUSTER_USER": ADMIN,
    }.items()
    if access.address is not None:
        yield "PGHOSTADDR", access.address


def token(options: argparse.Namespace) -> int:
    print(find_access(options.data, options.cluster).token(options.user, options.expires))
    return 0


def psql_line(access: Access, command: str) -> str:
    """A line for any shell with a psql that was built with TLS. `command` is how to call `borealis`, data and all."""
    settings = {
        "host": str(access.endpoint),
        "hostaddr": access.address,
        "port": str(access.port),
        "user": ADMIN,
        "dbname": DATABASE,
        "sslmode": "verify-full",
        "sslrootcert": str(access.files.trust),
    }
    conninfo = " ".join(f"{name}={quote_conninfo(value)}" for name, value in settings.items() if value is not None)
    return f'PGPASSWORD="$({command})" psql {shlex.quote(conninfo)}'


def quote_conninfo(value: str) -> str:
    if value and not any(character in value for character in " '\\"):
        return value
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"
