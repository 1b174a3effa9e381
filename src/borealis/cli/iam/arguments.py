"""The words of `borealis iam`, and which function answers to them.

The functions are named as `module:function` and imported when one runs, so that other commands do not carry them.
"""

import argparse
from importlib import import_module
from pathlib import Path
from typing import TypeAlias

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"

POLICY_FILE_HELP = "a file with the JSON document; - reads it from standard input"


def add_iam(commands: Commands, data_default: Path) -> None:
    iam = commands.add_parser("iam", help="users, roles, access keys and policies")
    nouns = iam.add_subparsers(title="commands", required=True, metavar="COMMAND")
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--data", type=Path, default=data_default, metavar="DIR", help="the data directory")
    common.add_argument("--account", metavar="DIGITS", help="the account meant (default: that of the installation)")
    common.add_argument("--json", action="store_true", help="for programs")
    noun = _Nouns(nouns, common)
    _add_accounts(noun)
    _add_users(noun)
    _add_groups(noun)
    _add_roles(noun)
    _add_access_keys(noun)
    _add_policies(noun)
    _add_assume_role(noun)
    _add_simulate(noun)


class _Nouns:
    """Makes the parsers of one noun, all with the common options."""

    def __init__(self, commands: Commands, common: argparse.ArgumentParser) -> None:
        self._commands = commands
        self._common = common

    def noun(self, name: str, text: str) -> "_Nouns":
        parser = self._commands.add_parser(name, help=text)
        parser.set_defaults(kind=name)
        return _Nouns(parser.add_subparsers(title="commands", required=True, metavar="COMMAND"), self._common)

    def verb(self, name: str, function: str, text: str) -> argparse.ArgumentParser:
        parser = self._commands.add_parser(name, help=text, description=text, parents=[self._common])
        parser.set_defaults(run=_run, function=function)
        return parser


def _run(options: argparse.Namespace) -> int:
    from borealis.cli.iam.running import run

    module, _, name = options.function.partition(":")
    return run(getattr(import_module(f"borealis.cli.iam.{module}"), name), options)


def _add_accounts(nouns: _Nouns) -> None:
    accounts = nouns.noun("account", "accounts: who owns users, roles and clusters")
    accounts.verb("list", "accounts:list_accounts", "all accounts")
    accounts.verb("create", "accounts:create", "make an account").add_argument("identifier", metavar="DIGITS")


def _add_users(nouns: _Nouns) -> None:
    users = nouns.noun("user", "users: people and programs with access keys of their own")
    _add_named(users.verb("create", "entities:create_user", "make a user"), is_new=True)
    _add_entity_verbs(users, "user")
    _add_identity_verbs(users)


def _add_groups(nouns: _Nouns) -> None:
    groups = nouns.noun("group", "groups: users with the same policies")
    _add_named(groups.verb("create", "entities:create_group", "make a group"), is_new=True)
    _add_entity_verbs(groups, "group")
    for verb, function, text in (
        ("add-user", "entities:add_member", "make a user a member"),
        ("remove-user", "entities:remove_member", "end a user's membership"),
    ):
        parser = groups.verb(verb, function, text)
        parser.add_argument("name", metavar="GROUP")
        parser.add_argument("user", metavar="USER")


def _add_roles(nouns: _Nouns) -> None:
    roles = nouns.noun("role", "roles: what users and programs become for a while")
    create = roles.verb("create", "entities:create_role", "make a role")
    _add_named(create, is_new=True)
    _add_trust(create)
    create.add_argument(
        "--max-session",
        type=int,
        default=3600,
        metavar="SECONDS",
        help="longest session, 3600 to 43200 (default: 3600)",
    )
    _add_entity_verbs(roles, "role")
    _add_identity_verbs(roles)
    trust = roles.verb("set-trust", "entities:set_trust", "replace the policy that says who may assume the role")
    _add_named(trust)
    _add_trust(trust)


def _add_trust(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--trust-policy", metavar="FILE", help=f"who may assume it: {POLICY_FILE_HELP} (default: its own account)"
    )
    parser.add_argument(
        "--trust",
        action="append",
        default=[],
        metavar="PRINCIPAL",
        help="instead of a policy: an account, or the ARN of a user or a role; may be repeated",
    )


def _add_named(parser: argparse.ArgumentParser, *, is_new: bool = False) -> None:
    parser.add_argument("name", metavar="NAME")
    if is_new:
        parser.add_argument("--path", default="/", help="path in the ARN, such as /engineering/ (default: /)")
        parser.add_argument("--description", default="", metavar="TEXT")
        parser.add_argument(
            "--tag", type=_tag, action="append", default=[], metavar="KEY=VALUE", help="may be repeated"
        )


def _add_entity_verbs(noun: _Nouns, kind: str) -> None:
    """What users, groups and roles have in common."""
    noun.verb("list", "entities:list_all", f"all {kind}s of the account")
    _add_named(noun.verb("show", "entities:show", f"one {kind}, with policies and tags"))
    _add_named(noun.verb("delete", "entities:delete", f"delete a {kind} with its keys and inline policies"))
    for verb, text in (("attach", "attach a managed policy"), ("detach", "detach a managed policy")):
        parser = noun.verb(verb, f"entities:{verb}", text)
        _add_named(parser)
        parser.add_argument("policy", metavar="POLICY", help="name or ARN")
    put = noun.verb("put-policy", "entities:put_policy", "write a policy that belongs to it alone")
    _add_named(put)
    put.add_argument("policy", metavar="POLICY", help="its name")
    put.add_argument("document", metavar="FILE", help=POLICY_FILE_HELP)
    remove = noun.verb("delete-policy", "entities:delete_policy", "delete a policy that belongs to it alone")
    _add_named(remove)
    remove.add_argument("policy", metavar="POLICY", help="its name")


def _add_identity_verbs(noun: _Nouns) -> None:
    """What users and roles have in common."""
    tag = noun.verb("tag", "entities:tag", "set tags")
    _add_named(tag)
    tag.add_argument("tag", type=_tag, nargs="+", metavar="KEY=VALUE")
    untag = noun.verb("untag", "entities:untag", "remove tags")
    _add_named(untag)
    untag.add_argument("key", nargs="+", metavar="KEY")
    boundary = noun.verb("set-boundary", "entities:set_boundary", "limit what its policies can allow")
    _add_named(boundary)
    boundary.add_argument("policy", metavar="POLICY", help="name or ARN")
    _add_named(noun.verb("remove-boundary", "entities:remove_boundary", "take the limit away"))


def _add_access_keys(nouns: _Nouns) -> None:
    keys = nouns.noun("access-key", "access keys: what programs sign with")
    create = keys.verb("create", "access_keys:create", "make an access key")
    owner = create.add_mutually_exclusive_group(required=True)
    owner.add_argument("--user", metavar="NAME", help="the user that it is for")
    owner.add_argument("--root", action="store_true", help="for the root of the account, who may do everything")
    listed = keys.verb("list", "access_keys:list_keys", "all access keys of the account, without their secrets")
    listed.add_argument("--user", metavar="NAME", help="of this user only")
    for verb, text in (
        ("show", "an access key with its secret"),
        ("activate", "let an access key sign again"),
        ("deactivate", "refuse an access key until it is activated again"),
        ("delete", "delete an access key"),
    ):
        keys.verb(verb, f"access_keys:{verb}", text).add_argument("key", metavar="ID")


def _add_policies(nouns: _Nouns) -> None:
    policies = nouns.noun("policy", "managed policies: what users, groups and roles may do")
    create = policies.verb("create", "policies:create", "make a policy")
    create.add_argument("name", metavar="NAME")
    create.add_argument("document", metavar="FILE", help=POLICY_FILE_HELP)
    create.add_argument("--path", default="/", help="path in the ARN (default: /)")
    create.add_argument("--description", default="", metavar="TEXT")
    policies.verb("list", "policies:list_policies", "the account's policies, and those that come with the product")
    policies.verb("show", "policies:show", "one policy with its document").add_argument("name", metavar="POLICY")
    update = policies.verb("update", "policies:update", "replace the document of a policy")
    update.add_argument("name", metavar="POLICY")
    update.add_argument("document", metavar="FILE", help=POLICY_FILE_HELP)
    policies.verb("delete", "policies:delete", "delete a policy").add_argument("name", metavar="POLICY")
    check = policies.verb("check", "policies:check", "say whether a document is a policy, and if not, why")
    check.add_argument("document", metavar="FILE", help=POLICY_FILE_HELP)
    check.add_argument(
        "--kind",
        dest="kind_of_policy",
        choices=("identity", "resource", "trust"),
        default="identity",
        help="of a user, group or role; of a cluster; or of who may assume a role (default: identity)",
    )


def _add_assume_role(nouns: _Nouns) -> None:
    assume = nouns.verb("assume-role", "assume_role:assume", "temporary credentials of a role")
    assume.add_argument("role", metavar="ROLE", help="name or ARN")
    assume.add_argument("--as-user", metavar="NAME", help="who assumes it (default: the built-in administrator)")
    assume.add_argument("--session", default="borealis-cli", metavar="NAME", help="name of the session")
    assume.add_argument("--duration", type=int, default=3600, metavar="SECONDS", help="900 to 43200 (default: 3600)")
    assume.add_argument("--policy", metavar="FILE", help=f"a limit for this session: {POLICY_FILE_HELP}")
    assume.add_argument("--tag", type=_tag, action="append", default=[], metavar="KEY=VALUE", help="may be repeated")
    assume.add_argument("--external-id", metavar="TEXT", help="where the role's policy asks for sts:ExternalId")
    assume.add_argument("--export", action="store_true", help='as shell exports, for eval "$(…)"')


def _add_simulate(nouns: _Nouns) -> None:
    simulate = nouns.verb("simulate", "simulate:simulate", "say whether somebody may do something, and if not, why")
    who = simulate.add_mutually_exclusive_group(required=True)
    who.add_argument("--user", metavar="NAME")
    who.add_argument("--role", metavar="NAME", help="a session of this role")
    simulate.add_argument("action", metavar="ACTION", help="such as dsql:DbConnect")
    simulate.add_argument("resource", metavar="ARN", nargs="?", default="*", help="of a cluster (default: *)")
    simulate.add_argument("--resource-policy", metavar="FILE", help=f"the cluster's policy: {POLICY_FILE_HELP}")
    simulate.add_argument("--source-ip", metavar="ADDRESS", help="where the request comes from")
    simulate.add_argument(
        "--resource-tag", type=_tag, action="append", default=[], metavar="KEY=VALUE", help="a tag of the cluster"
    )


def _tag(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise argparse.ArgumentTypeError("a tag is KEY=VALUE")
    return name, value
