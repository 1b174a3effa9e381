"""`borealis iam policy`."""

import json

from borealis.cli.iam.running import Answer, Desk, Facts, show_time, table
from borealis.iam.policies import PolicyKind, parse_policy
from borealis.iam.records import PolicyRecord


def create(desk: Desk) -> Answer:
    options = desk.options
    policy = desk.store.policies.create(
        desk.account,
        options.name,
        desk.documents["document"],
        desk.now,
        path=options.path,
        description=options.description,
    )
    return Answer(_facts(policy), [f"policy {policy.name} made: {policy.arn}"])


def _facts(policy: PolicyRecord) -> Facts:
    return {
        "name": policy.name,
        "arn": policy.arn,
        "description": policy.description,
        "document": json.loads(policy.document),
        "created": show_time(policy.created_at),
        "updated": show_time(policy.updated_at),
    }


def list_policies(desk: Desk) -> Answer:
    policies = desk.store.policies.list_of(desk.account)
    rows = [("NAME", "ARN", "ABOUT"), *((policy.name, policy.arn, policy.description) for policy in policies)]
    return Answer([_facts(policy) for policy in policies], table(rows, "no policies"))


def show(desk: Desk) -> Answer:
    policy = desk.store.policies.find(desk.account, desk.options.name)
    return Answer(_facts(policy), [policy.arn, json.dumps(json.loads(policy.document), indent=2)])


def update(desk: Desk) -> Answer:
    policy = desk.store.policies.find(desk.account, desk.options.name)
    desk.store.policies.set_document(policy.arn, desk.documents["document"], desk.now)
    return Answer({"arn": policy.arn}, [f"{policy.arn} updated"])


def delete(desk: Desk) -> Answer:
    policy = desk.store.policies.find(desk.account, desk.options.name)
    desk.store.policies.delete(policy.arn)
    return Answer({"arn": policy.arn}, [f"{policy.arn} deleted"])


def check(desk: Desk) -> Answer:
    parsed = parse_policy(desk.documents["document"], PolicyKind(desk.options.kind_of_policy))
    return Answer({"statements": len(parsed.statements)}, [f"a policy, with {len(parsed.statements)} statements"])
