"""AWS's rules once more, as plainly as they can be written: no compiled patterns, no classes, JSON as it is.

The other opinion in `test_plain_rules`. Knows what that test generates and no more.
"""

from fnmatch import fnmatchcase
from typing import Any

Json = dict[str, Any]
Keys = dict[str, list[str]]


def is_allowed(case: Json) -> bool:
    """`case`: caller (arn, role, account, kind), resource_account, action, resource, keys, policies by kind."""

    def allows(document: Json | None) -> bool:
        return document is None or any(s["Effect"] == "Allow" and applies(s, case) for s in document["Statement"])

    def denies(document: Json | None) -> bool:
        return document is not None and any(s["Effect"] == "Deny" and applies(s, case) for s in document["Statement"])

    caller = case["caller"]
    about_caller = (
        [s for s in case["resource"]["Statement"] if named(s["Principal"], caller)] if case["resource"] else []
    )
    if any(denies(document) for document in [*case["identity"], case["boundary"], case["session"]]):
        return False
    if any(s["Effect"] == "Deny" and applies(s, case) for s in about_caller):
        return False
    grants = {named(s["Principal"], caller) for s in about_caller if s["Effect"] == "Allow" and applies(s, case)}
    identity = caller["kind"] == "root" or any(allows(document) for document in case["identity"])
    limits = allows(case["boundary"]) and allows(case["session"])
    if case["resource_account"] != caller["account"]:
        return bool(grants) and identity and limits
    return "itself" in grants or (limits and ("role" in grants or identity))


def named(principal: Any, caller: Json) -> str | None:
    """How closely a principal names the caller: itself, its role, its account, or not at all."""
    names = ["*"] if principal == "*" else as_list(principal["AWS"])
    if "*" in names or caller["arn"] in names:
        return "itself"
    if caller["role"] in names:
        return "role"
    account = caller["account"]
    if account in names or f"arn:aws:iam::{account}:root" in names:
        return "itself" if caller["kind"] == "root" else "account"
    return None


def applies(statement: Json, case: Json) -> bool:
    action = case["action"].lower()
    if "Action" in statement:
        acts = any(fnmatchcase(action, pattern.lower()) for pattern in as_list(statement["Action"]))
    else:
        acts = not any(fnmatchcase(action, pattern.lower()) for pattern in as_list(statement["NotAction"]))
    if "Resource" in statement:
        meets = any(arn_like(case["name"], pattern) for pattern in as_list(statement["Resource"]))
    else:
        meets = not any(arn_like(case["name"], pattern) for pattern in as_list(statement["NotResource"]))
    conditions = statement.get("Condition", {})
    return (
        acts
        and meets
        and all(
            holds(op, key, as_list(conditions[op][key]), case["keys"]) for op in conditions for key in conditions[op]
        )
    )


def arn_like(arn: str, pattern: str) -> bool:
    if pattern == "*":
        return True
    return all(fnmatchcase(a, p) for a, p in zip(arn.split(":", 5), pattern.split(":", 5), strict=True))


def holds(operator: str, key: str, wanted: list[str], keys: Keys) -> bool:
    given = keys.get(key.lower(), [])
    if operator == "Null":
        return wanted == ["false" if given else "true"]
    prefix, _, name = operator.rpartition(":")
    base = name.removesuffix("IfExists")
    negated = "Not" in base
    if not given:
        return name.endswith("IfExists") or prefix == "ForAllValues" or (negated and prefix == "")
    matches = [any(equal(base, value, text) for text in wanted) for value in given]
    if prefix == "ForAllValues":
        return not any(matches) if negated else all(matches)
    if prefix == "ForAnyValue":
        return not all(matches) if negated else any(matches)
    return any(matches) != negated


def equal(operator: str, value: str, text: str) -> bool:
    if "IgnoreCase" in operator or operator == "Bool":
        return value.lower() == text.lower()
    if operator.startswith("Arn"):
        return arn_like(value, text)
    return fnmatchcase(value, text) if "Like" in operator else value == text


def as_list(value: Any) -> list[str]:
    return value if isinstance(value, list) else [value]
