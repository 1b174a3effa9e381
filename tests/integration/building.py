"""Libraries that only tests load: built from the extension's sources when they are out of date."""

from __future__ import annotations

import fcntl
import subprocess
import sys
from pathlib import Path

from tests.integration.plain_server import CHECKOUT


def build(folder: Path, *targets: str) -> None:
    """One at a time: workers of the same run want the same library."""
    with (CHECKOUT / ".build" / "tests.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        subprocess.run(["make", "--quiet", "-C", folder, f"PYTHON={sys.executable}", *targets], check=True)
