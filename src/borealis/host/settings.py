"""What `borealis up` is told."""

from dataclasses import dataclass
from pathlib import Path

INSTANCES_MAX = 100


@dataclass(frozen=True)
class HostSettings:
    data: Path
    port: int = 5432
    listen: str = "127.0.0.1"
    instances: int = 1
    # For each instance.
    connections_max: int = 100
