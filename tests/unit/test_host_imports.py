"""What lives long must not carry what is needed once: that costs megabytes in each process, for ever."""

from __future__ import annotations

import subprocess
import sys

import pytest

SERVICES = ("adjudicator", "storage", "front", "relay", "control")
LONG_LIVED = ["cli.up", "host.zygote", *(f"{service}.__main__" for service in SERVICES)]


@pytest.mark.parametrize("module", LONG_LIVED)
def test_nobody_carries_what_makes_certificates(module: str) -> None:
    script = f"import borealis.{module}, sys\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    loaded = done.stdout.split()
    assert f"borealis.{module}" in loaded
    assert "cryptography" not in loaded
