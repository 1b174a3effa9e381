"""The arguments of `borealis cluster`."""

import argparse
from collections.abc import Callable
from pathlib import Path

Commands = argparse._SubParsersAction  # argparse has no public name for it


def add_cluster(
    commands: "Commands[argparse.ArgumentParser]",
    add_data: Callable[[argparse.ArgumentParser], None],
    run: Callable[[argparse.Namespace], int],
) -> None:
    """`add_data` adds what every command takes; `run` finds the chosen part in `options.part`."""
    cluster = commands.add_parser("cluster", help="create, list, show, change and delete clusters")
    parts = cluster.add_subparsers(title="commands", required=True, metavar="COMMAND", dest="part")

    def add(name: str, text: str, names_cluster: bool = True) -> argparse.ArgumentParser:
        part = parts.add_parser(name, help=text, description=text)
        add_data(part)
        part.add_argument("--json", action="store_true", help="for programs: the API's answer")
        part.add_argument("--endpoint-url", metavar="URL", help="of the API, where it is not the local one")
        part.add_argument("--region", help="of the API, where it is not the local one")
        part.add_argument("--ca-bundle", type=Path, metavar="FILE", help="authorities to trust, in PEM")
        if names_cluster:
            part.add_argument("cluster", metavar="CLUSTER", help="identifier, ARN or endpoint")
        part.set_defaults(run=run)
        return part

    create = add("create", "make a cluster, and wait until it can be used", names_cluster=False)
    create.add_argument("--tag", type=tag, action="append", default=[], metavar="KEY=VALUE", help="may be repeated")
    create.add_argument("--policy", type=Path, metavar="FILE", help="its resource policy, in JSON")
    create.add_argument("--client-token", metavar="TEXT", help="repeating the command with it makes no second cluster")
    _add_settings(create)
    create.add_argument("--no-wait", action="store_true", help="do not wait until it can be used")

    add("list", "the clusters that there are", names_cluster=False)
    add("show", "everything about a cluster")

    update = add("update", "change the settings of a cluster")
    _add_settings(update)

    delete = add("delete", "delete a cluster with everything in it, and wait until it is gone")
    delete.add_argument("--no-wait", action="store_true", help="do not wait until it is gone")

    tags = add("tag", "give a cluster tags")
    tags.add_argument("tags", type=tag, nargs="+", metavar="KEY=VALUE")
    untag = add("untag", "take tags from a cluster")
    untag.add_argument("keys", nargs="+", metavar="KEY")

    policy = add("policy", "show, put or delete the resource policy of a cluster")
    change = policy.add_mutually_exclusive_group()
    change.add_argument("--put", type=Path, metavar="FILE", help="make this JSON its policy")
    change.add_argument("--delete", action="store_true", help="take its policy away")
    policy.add_argument("--expected-version", metavar="N", help="only if this is the version of the policy now")
    policy.add_argument("--bypass-lockout-check", action="store_true", help="even if it locks the administrator out")


def _add_settings(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--deletion-protection",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="whether it has to be unprotected before it can be deleted (new clusters are protected)",
    )
    parser.add_argument("--kms-key", metavar="KEY", help="recorded, nothing is encrypted with it (docs/api.md)")


def tag(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise argparse.ArgumentTypeError("a tag is KEY=VALUE")
    return key, value
