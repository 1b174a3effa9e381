"""docs/relay.md says what the code does: every refusal, every setting, every default."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

import pytest

from borealis.relay import refusals
from borealis.relay.refusals import Refusal
from borealis.relay.settings import make_parser

DOCUMENT = Path(__file__).parents[3] / "docs" / "relay.md"
CODE = re.compile(r"`([^`]*)`")


def rows(heading: str) -> list[list[str]]:
    """The cells of the table under a heading."""
    _, _, section = DOCUMENT.read_text().partition(f"\n## {heading}\n")
    lines = [line for line in section.partition("\n## ")[0].splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def known_refusals() -> list[Refusal]:
    found = [value for value in vars(refusals).values() if isinstance(value, Refusal)]
    return [*found, refusals.unknown_database("…"), refusals.unsupported_protocol(1, 2)]


def test_every_refusal_is_documented_and_every_documented_one_exists() -> None:
    documented = {(CODE.findall(reason)[0], sqlstate, message) for reason, sqlstate, message, _ in rows("Refusals")}
    known = {(refusal.reason, refusal.sqlstate, refusal.message.replace("1.2", "…")) for refusal in known_refusals()}
    assert documented == known - {("unknown_database", "3D000", refusals.UNKNOWN_DATABASE.message)}


def test_hints_that_are_always_the_same_are_documented() -> None:
    hints = {(CODE.findall(reason)[0], hint) for reason, _, _, hint in rows("Refusals")}
    for refusal in known_refusals():
        if refusal.hint:
            assert (refusal.reason, refusal.hint) in hints


def options() -> dict[str, argparse.Action]:
    return {action.option_strings[-1]: action for action in make_parser()._actions if action.dest != "help"}


def test_every_setting_is_documented() -> None:
    documented = [
        name for heading in ("Limits", "Other settings") for row in rows(heading) for name in CODE.findall(row[0])
    ]
    assert sorted(documented) == sorted(options())


@pytest.mark.parametrize("heading", ["Limits", "Other settings"])
def test_defaults_are_as_documented(heading: str) -> None:
    for names, default, _ in rows(heading):
        for name in CODE.findall(names):
            actual = options()[name].default
            if actual is not None:
                assert default == str(actual)
