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

ECHO_LOOKAHEAD_LINES = 50
REPORTED_LINES_MAX = 40


@dataclass(frozen=True)
class Difference:
    """Consecutive lines of the left transcript, and what stands in their place in the right one."""

    left: tuple[str, ...]
    right: tuple[str, ...]

    def __str__(self) -> str:
        lines = [*(f"-{line}" for line in self.left), *(f"+{line}" for line in self.right)]
        left_out = len(lines) - REPORTED_LINES_MAX
        return "\n".join(lines[:REPORTED_LINES_MAX] + ([f"… {left_out} lines more"] if left_out > 0 else []))


class MalformedListError(Exception):
    """A list of permitted differences breaks its own format."""


def differences_between(left: str, right: str, script: str = "") -> list[Difference]:
    """Every difference between two transcripts, in order; runs of changed lines are one difference.

    Transcripts that echo a script are compared statement by statement, so that what one statement prints never matches
    what another one does.
    """
    left_answers, right_answers = _answers(left, script), _answers(right, script)
    return [
        difference
        for line in sorted(left_answers.keys() | right_answers.keys())
        for difference in _differing_runs(left_answers.get(line, []), right_answers.get(line, []))
    ]


def _differing_runs(left: list[str], right: list[str]) -> list[Difference]:
    matcher = difflib.SequenceMatcher(None, left, right, autojunk=False)
    return [
        Difference(tuple(left[a:b]), tuple(right[c:d])) for tag, a, b, c, d in matcher.get_opcodes() if tag != "equal"
    ]


def _answers(transcript: str, script: str) -> dict[int, list[str]]:
    """What was printed after the echo of each line of the script, by that line's number.

    Lines that are data of a COPY are not echoed, so an echo may be some lines ahead; to be taken for one there, it must
    look like a statement's end.
    """
    echoes = script.split("\n")
    answers: dict[int, list[str]] = {}
    expected = 0
    for line in transcript.split("\n"):
        ahead = ECHO_LOOKAHEAD_LINES if line.endswith(";") else 1
        found = next((n for n in range(expected, min(expected + ahead, len(echoes))) if echoes[n] == line), None)
        if found is None:
            answers.setdefault(expected, []).append(line)
        else:
            expected = found + 1
    return answers


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


def judge(left: str, right: str, permitted: Counter[Difference], script: str = "") -> str:
    """Empty if the transcripts differ exactly as permitted, else a report of what is wrong."""
    found = Counter(differences_between(left, right, script))
    report = []
    for difference, times in (found - permitted).items():
        report.append(f"not permitted (x{times}):\n{difference}")
    for difference, times in (permitted - found).items():
        report.append(f"permitted, but did not occur (x{times}):\n{difference}")
    return "\n\n".join(report)
