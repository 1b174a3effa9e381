"""Settings of the transaction service: the command line, checked once."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from borealis.adjudicator.admission import AdmissionLimits
from borealis.adjudicator.limits import AdjudicatorLimits, OutcomeLimits
from borealis.adjudicator.service import ServiceLimits
from borealis.foundation.command_line import add_identity, check_identity, positive
from borealis.foundation.identifiers import NANOSECONDS_PER_SECOND

_MEBIBYTE = 2**20


class Settings(NamedTuple):
    data: Path
    run: Path
    uid: int | None
    gid: int | None
    zones: int
    transaction_bytes_max: int
    intake_bytes_max: int
    """Bytes of requests that may be on their way in at the same time, over all connections."""
    service: ServiceLimits
    admission: AdmissionLimits

    @property
    def zone_directories(self) -> list[Path]:
        return [self.data / "journal" / f"zone-{number}" for number in range(1, self.zones + 1)]


def parse_settings(arguments: Sequence[str] | None = None) -> Settings:
    parser = argparse.ArgumentParser(
        prog="python -m borealis.adjudicator",
        description="Transaction service: decides transactions and keeps the journal.",
    )
    parser.add_argument("--data", type=Path, required=True, help="data directory")
    parser.add_argument("--run", type=Path, required=True, help="directory of sockets and shared pages")
    add_identity(parser)
    parser.add_argument("--zones", type=positive, default=1, help="number of journal directories (default 1)")
    parser.add_argument("--segment-mib", type=positive, default=64, help="size of a journal segment (default 64)")
    parser.add_argument(
        "--transaction-mib-max", type=positive, default=1024, help="largest transaction record (default 1024)"
    )
    parser.add_argument(
        "--transaction-age-max", type=positive, default=300, metavar="SECONDS", help="oldest transaction (default 300)"
    )
    parser.add_argument(
        "--outcome-age-max",
        type=positive,
        default=OutcomeLimits().age_ns_max // NANOSECONDS_PER_SECOND,
        metavar="SECONDS",
        help="how long the outcome of a commit can be asked for (default %(default)s)",
    )
    parser.add_argument(
        "--lag-mib-max",
        type=positive,
        default=AdmissionLimits().lag_bytes_max // _MEBIBYTE,
        help="commits wait while storage is further behind (default %(default)s)",
    )
    parser.add_argument(
        "--lag-wait-max",
        type=positive,
        default=AdmissionLimits().wait_ns_max // NANOSECONDS_PER_SECOND,
        metavar="SECONDS",
        help="commits that wait longer are refused (default %(default)s)",
    )
    chosen = parser.parse_args(arguments)
    check_identity(parser, chosen)
    if chosen.transaction_mib_max > 2048:
        parser.error("--transaction-mib-max: a transaction record cannot be larger than 2048 MiB")
    adjudicator = AdjudicatorLimits(
        outcomes=OutcomeLimits(age_ns_max=chosen.outcome_age_max * NANOSECONDS_PER_SECOND),
        transaction_age_ns_max=chosen.transaction_age_max * NANOSECONDS_PER_SECOND,
    )
    return Settings(
        data=chosen.data,
        run=chosen.run,
        uid=chosen.uid,
        gid=chosen.gid,
        zones=chosen.zones,
        transaction_bytes_max=chosen.transaction_mib_max * _MEBIBYTE,
        intake_bytes_max=4 * chosen.transaction_mib_max * _MEBIBYTE,
        service=ServiceLimits(adjudicator, chosen.segment_mib * _MEBIBYTE),
        admission=AdmissionLimits(
            lag_bytes_max=chosen.lag_mib_max * _MEBIBYTE,
            wait_ns_max=chosen.lag_wait_max * NANOSECONDS_PER_SECOND,
        ),
    )
