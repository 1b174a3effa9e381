"""What `borealis up` is told."""

from dataclasses import dataclass
from pathlib import Path

INSTANCES_MAX = 100
# Sessions of all instances together: storage's map has 1,024 reader slots, and each instance needs a few for itself.
SESSIONS_MAX = 1000
TRANSACTION_AGE_LIMIT_S_MAX = 86_400


@dataclass(frozen=True)
class HostSettings:
    data: Path
    port: int = 5432
    listen: str = "127.0.0.1"
    instances: int = 1
    # For each instance.
    connections_max: int = 100
    # How long a transaction may take.
    transaction_age_limit_s: int = 300
    # More settings for postgresql.conf; those that the host itself decides are refused.
    postgres: tuple[tuple[str, str], ...] = ()
