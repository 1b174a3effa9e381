"""What command lines have in common: whom a service becomes, and numbers to change."""

import argparse
from dataclasses import fields, replace
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Settings = TypeVar("Settings", bound="DataclassInstance")
"""A dataclass of numbers, all with defaults."""


def add_identity(parser: argparse.ArgumentParser) -> None:
    """`--uid` and `--gid`, for `privileges.drop_privileges`."""
    parser.add_argument("--uid", type=int, help="user to become before any data is touched")
    parser.add_argument("--gid", type=int, help="group to become before any data is touched")


def check_identity(parser: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    if (options.uid is None) != (options.gid is None):
        parser.error("--uid and --gid go together")


def positive(text: str) -> int:
    """A type of arguments."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("at least 1")
    return number


def add_settings(parser: argparse.ArgumentParser, settings: "type[DataclassInstance]") -> None:
    """`--set NAME=NUMBER`, for `choose_settings`."""
    names = [field.name for field in fields(settings)]

    def parse(text: str) -> tuple[str, int]:
        name, _, number = text.partition("=")
        if name not in names:
            raise argparse.ArgumentTypeError(f"there is no setting {name!r}")
        return name, int(number)

    parser.add_argument(
        "--set",
        type=parse,
        action="append",
        default=[],
        metavar="NAME=NUMBER",
        help=f"change a setting: {', '.join(names)}",
    )


def choose_settings(defaults: Settings, options: argparse.Namespace) -> Settings:
    return replace(defaults, **dict(options.set))
