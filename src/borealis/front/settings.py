"""Every number of a front that somebody may want to change, with its unit last in its name."""

from dataclasses import dataclass
from typing import Final

MILLISECOND_NS: Final = 1_000_000
SECOND_NS: Final = 1_000_000_000


@dataclass(frozen=True, slots=True)
class FrontSettings:
    """Defaults suit one machine. All bounds are upper bounds."""

    # Of all fronts of the cluster together, and of this one.
    cluster_sessions_max: int = 10_000
    sessions_max: int = 60_000

    # Backends. Up to the target they are opened as soon as a session waits; above it only for sessions that have
    # waited longer than the patience, because then the others are held by transactions.
    backends_target: int = 8
    backends_max: int = 90
    patience_ns: int = 10 * MILLISECOND_NS
    backend_idle_ns: int = 60 * SECOND_NS
    backends_kept: int = 1
    connect_retry_ns: int = 20 * MILLISECOND_NS
    connect_give_up_ns: int = 10 * SECOND_NS
    statements_per_backend_max: int = 250

    # Sessions. What is prepared counts towards the bytes with its text.
    statements_per_session_max: int = 2_000
    statement_bytes_per_session_max: int = 1 << 20
    grace_ns: int = 300 * SECOND_NS
    shutdown_grace_ns: int = 10 * SECOND_NS
    farewell_ns: int = 2 * SECOND_NS
    access_check_ns: int = 10 * SECOND_NS

    # Reading.
    receive_bytes: int = 64 * 1024
