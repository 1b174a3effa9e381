"""Permitted differences between a script's transcript on Postgres and on Borealis.

A file `differences/<script>.txt` lists them as blocks, separated by blank lines:

    reason: one sentence
    times: 2                     (optional, default 1)
    -a line of the transcript on Postgres
    +a line of the transcript on Borealis

Promises: a transcript passes only if each of its differences is listed and each listed one occurs as often as it says,
so that neither a new difference nor one that has disappeared goes unnoticed.
"""

from __future__ import annotations

import difflib
from collections import Counter
from dataclasses import dataclass


@dataclass(frozen=True)
class Difference:
    """Consecutive lines of the left transcript, and what stands in their place in the right one."""

    left: tuple[str, ...]
    right: tuple[str, ...]

    def __str__(self) -> str:
        return "\n".join([*(f"-{line}" for line in self.left), *(f"+{line}" for line in self.right)])


class MalformedListError(Exception):
    """A list of permitted differences breaks its own format."""


def differences_between(left: str, right: str) -> list[Difference]:
    """Every difference between two transcripts, in order; runs of changed lines are one difference."""
    left_lines, right_lines = left.split("\n"), right.split("\n")
    matcher = difflib.SequenceMatcher(None, left_lines, right_lines, autojunk=False)
    return [
        Difference(tuple(left_lines[a:b]), tuple(right_lines[c:d]))
        for tag, a, b, c, d in matcher.get_opcodes()
        if tag != "equal"
    ]


def parse_permitted(text: str) -> Counter[Difference]:
    """Reads a list of permitted differences.

    Raises:
        MalformedListError: a block has no reason, no lines, or a line of an unknown kind.
    """
    permitted: Counter[Difference] = Counter()
    for block in filter(None, (part.strip("\n") for part in text.split("\n\n"))):
        header = dict[str, str]()
        left: list[str] = []
        right: list[str] = []
        for line in block.split("\n"):
            if line.startswith("-"):
                left.append(line[1:])
            elif line.startswith("+"):
                right.append(line[1:])
            elif (name := line.partition(":")[0]) in ("reason", "times"):
                header[name] = line.partition(":")[2].strip()
            elif not line.startswith("#"):
                raise MalformedListError(f"neither a header nor a line of output: {line!r}")
        if not left and not right:
            if header:
                raise MalformedListError(f"a block without lines: {block!r}")
            continue
        if not header.get("reason"):
            raise MalformedListError(f"a difference without a reason: {block!r}")
        permitted[Difference(tuple(left), tuple(right))] += int(header.get("times", "1"))
    return permitted


def judge(left: str, right: str, permitted: Counter[Difference]) -> str:
    """Empty if the transcripts differ exactly as permitted, else a report of what is wrong."""
    found = Counter(differences_between(left, right))
    report = []
    for difference, times in (found - permitted).items():
        report.append(f"not permitted (x{times}):\n{difference}")
    for difference, times in (permitted - found).items():
        report.append(f"permitted, but did not occur (x{times}):\n{difference}")
    return "\n\n".join(report)
