"""How a command of `borealis iam` runs: as whom, on which store, and what becomes of its answer and of its errors."""

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from borealis.clusters.names import InvalidName
from borealis.foundation.errors import Unavailable
from borealis.foundation.identifiers import Timestamp
from borealis.host.account import assume, choose_account, read_owner
from borealis.host.layout import open_layout
from borealis.iam import IamReader, IamStore, Refused
from borealis.iam.errors import AlreadyExists, MalformedPolicy, NotFound, NotPossible
from borealis.iam.schema import FILE_NAME

Facts: TypeAlias = dict[str, Any]
"""What a program may read: names here are an interface."""

_REFUSALS = (InvalidName, MalformedPolicy, NotFound, AlreadyExists, NotPossible, Refused)


@dataclass(frozen=True)
class Answer:
    """`facts` for programs, `lines` for people."""

    facts: Any
    lines: list[str]


class Desk:
    """What a command works with. Files that it reads are read as who called, before anything else."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.now = Timestamp(time.time_ns())
        self.documents = {
            name: _read_document(getattr(options, name))
            for name in ("document", "trust_policy", "policy", "resource_policy")
            if _is_file(options, name)
        }
        root = open_layout(options.data).root
        # The store belongs to the account of the data: root must not leave files there that it cannot open.
        assume(choose_account(os.geteuid(), read_owner(root / "VERSION"), None))
        self._folder = root / "control"
        if not (self._folder / FILE_NAME).exists():
            raise Unavailable(f"{options.data} has no accounts yet; start Borealis once with borealis up")
        self.store = IamStore.open(self._folder, os.urandom)
        self.account: str = options.account or self.store.account()

    def open_reader(self) -> IamReader:
        return IamReader.open(self._folder)


Command: TypeAlias = Callable[[Desk], Answer]


def run(command: Command, options: argparse.Namespace) -> int:
    try:
        desk = Desk(options)
        with desk.store:
            answer = command(desk)
    except _REFUSALS as error:
        raise Unavailable(str(error)) from error
    if options.json:
        print(json.dumps(answer.facts, indent=2))
    else:
        print("\n".join(answer.lines))
    return 0


def _is_file(options: argparse.Namespace, name: str) -> bool:
    # Of some commands `policy` is the name of one, of others a file with one.
    return getattr(options, name, None) is not None and (name != "policy" or options.function == "assume_role:assume")


def _read_document(name: str) -> str:
    try:
        return sys.stdin.read() if name == "-" else Path(name).read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise Unavailable(f"{name} cannot be read: {error}") from None


def table(rows: Sequence[tuple[str, ...]], nothing: str) -> list[str]:
    """Columns side by side, the first row their headings; `nothing` when there is no other row."""
    if len(rows) < 2:
        return [nothing]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return ["  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def show_time(moment: Timestamp) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(moment // 1_000_000_000))
