"""What the command lines of the services have in common."""

from __future__ import annotations

import argparse
from dataclasses import dataclass

import pytest

from borealis.foundation.command_line import add_identity, add_settings, check_identity, choose_settings, positive


@dataclass(frozen=True)
class Numbers:
    length_m: int = 1
    width_m: int = 2


def parse(*arguments: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_identity(parser)
    add_settings(parser, Numbers)
    parser.add_argument("--doors", type=positive)
    options = parser.parse_args(arguments)
    check_identity(parser, options)
    return options


def test_numbers_that_are_not_chosen_stay() -> None:
    assert choose_settings(Numbers(), parse()) == Numbers()
    assert choose_settings(Numbers(), parse("--set", "width_m=7", "--set=width_m=8")) == Numbers(1, 8)


def test_an_account_is_a_user_and_a_group() -> None:
    assert (parse().uid, parse().gid) == (None, None)
    options = parse("--uid=5", "--gid=6")
    assert (options.uid, options.gid) == (5, 6)


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["--uid=5"], "--uid and --gid go together"),
        (["--gid=5"], "--uid and --gid go together"),
        (["--set", "height_m=5"], "there is no setting 'height_m'"),
        (["--set", "width_m"], "invalid"),
        (["--set", "width_m=wide"], "invalid"),
        (["--doors", "0"], "at least 1"),
        (["--doors", "many"], "invalid"),
    ],
)
def test_what_cannot_be_is_refused(arguments: list[str], problem: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse(*arguments)
    assert problem in capsys.readouterr().err
