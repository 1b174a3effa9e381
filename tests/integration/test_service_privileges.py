"""Services that root starts for an unprivileged account: links that the account has planted lead nowhere."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from borealis.host.account import NOBODY
from tests.integration.plain_server import unprivileged_folder

GIVE_UP_S = 60

PLANTED = [
    ("borealis.storage", "storage", "."),
    ("borealis.storage", "storage/map", "."),
    ("borealis.storage", "storage/snapshots", "."),
    ("borealis.storage", "storage/lock", "new"),
    ("borealis.storage", "run/storage.page", "new"),
    ("borealis.storage", "run/storage.page", "precious"),
    ("borealis.adjudicator", "journal", "."),
    ("borealis.adjudicator", "journal/zone-1", "."),
    ("borealis.adjudicator", "run/transactions.page", "new"),
    ("borealis.adjudicator", "run/transactions.page", "precious"),
]


def describe(folder: Path) -> list[tuple[str, int, int, int]]:
    """Everything that a service could have changed."""
    found = [(path.name, path.stat()) for path in (folder, *sorted(folder.iterdir()))]
    return [(name, status.st_uid, status.st_mode, status.st_size) for name, status in found]


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
@pytest.mark.parametrize(("module", "link", "target"), PLANTED)
def test_planted_link_leads_nowhere(tmp_path: Path, module: str, link: str, target: str) -> None:
    private = tmp_path / "private"
    private.mkdir(mode=0o700)
    (private / "precious").write_text("root's own")
    (private / "precious").chmod(0o600)
    before = describe(private)
    with unprivileged_folder("borealis-planted-") as data:
        (data / "run").mkdir()
        (data / link).parent.mkdir(exist_ok=True)
        (data / link).symlink_to(private / target)
        for folder in (data / "run", (data / link).parent):
            os.chown(folder, NOBODY, NOBODY)
        options = ("--data", data, "--run", data / "run", "--uid", str(NOBODY), "--gid", str(NOBODY))
        result = subprocess.run(
            [sys.executable, "-m", module, *options], capture_output=True, text=True, timeout=GIVE_UP_S, check=False
        )
    assert result.returncode == 1
    assert "Permission denied" in result.stderr
    assert describe(private) == before


@pytest.mark.parametrize("module", ["borealis.storage", "borealis.adjudicator"])
def test_half_an_account_is_refused(tmp_path: Path, module: str) -> None:
    result = subprocess.run(
        [sys.executable, "-m", module, "--data", tmp_path, "--run", tmp_path, "--uid", "65534"],
        capture_output=True,
        text=True,
        timeout=GIVE_UP_S,
        check=False,
    )
    assert result.returncode == 2
    assert "--uid and --gid go together" in result.stderr
    assert list(tmp_path.iterdir()) == []
