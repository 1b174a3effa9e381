"""docs/iam.md names everything that a user can write."""

import argparse
from pathlib import Path

import pytest

from borealis.cli import build_parser
from borealis.iam.conditions import _OPERATORS
from borealis.iam.context import _SINGLE_VALUED, _TAGS
from borealis.iam.managed_policies import MANAGED_POLICIES, ManagedPolicy

PAGE = (Path(__file__).parents[3] / "docs" / "iam.md").read_text()


def subcommands(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            return dict(action.choices)
    return {}


NOUNS = subcommands(subcommands(build_parser())["iam"])


@pytest.mark.parametrize("operator", _OPERATORS)
def test_every_operator_is_documented(operator: str) -> None:
    assert f"`{operator}`" in PAGE


@pytest.mark.parametrize("key", [*_SINGLE_VALUED, *(f"{prefix}/key" for prefix in _TAGS)])
def test_every_condition_key_is_documented(key: str) -> None:
    assert f"`{key}`" in PAGE.lower()


@pytest.mark.parametrize("noun", NOUNS)
def test_every_command_is_documented(noun: str) -> None:
    assert f"`{noun}`" in PAGE
    for verb in subcommands(NOUNS[noun]):
        assert f"`{verb}`" in PAGE, f"borealis iam {noun} {verb}"


@pytest.mark.parametrize("policy", MANAGED_POLICIES)
def test_every_policy_of_the_product_is_documented(policy: ManagedPolicy) -> None:
    assert f"`{policy.name}`" in PAGE
