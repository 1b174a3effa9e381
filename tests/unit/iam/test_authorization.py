"""AWS's rules of evaluation, case by case (IAM User Guide, "Policy evaluation logic")."""

import pytest

from borealis.iam import authorize
from borealis.iam.authorization import Decision, Source, decide, find_lockout
from borealis.iam.caller import VerifiedCaller
from borealis.iam.policies import Policy
from borealis.iam.refusals import AuthorizationRefused
from tests.unit.iam.callers import (
    CONTEXT,
    ROLE_ARN,
    SESSION_ARN,
    USER_ARN,
    allow,
    deny,
    identity,
    resource_policy,
    role_session,
    root,
    user,
)
from tests.unit.iam.installation import ACCOUNT, CLUSTER, OTHER_ACCOUNT, REGION

ACTION = "dsql:DbConnect"
FULL = identity(allow("*"))
NONE = identity(allow("s3:*"))
FORBIDDEN = identity(allow("*"), deny("dsql:*"))

ALLOWED = Decision(True)
NO_IDENTITY = Decision(False, Source.IDENTITY)
NO_RESOURCE = Decision(False, Source.RESOURCE)
NO_BOUNDARY = Decision(False, Source.BOUNDARY)
NO_SESSION = Decision(False, Source.SESSION)


def denied_by(source: Source) -> Decision:
    return Decision(False, source, is_explicit=True)


def grant(principal: object, effect: str = "Allow", **more: object) -> Policy:
    statement = {**allow(), "Effect": effect, "Principal": principal, **more}
    return resource_policy(statement)


EVERYBODY = grant("*")
THE_ACCOUNT = grant({"AWS": ACCOUNT})
THE_USER = grant({"AWS": USER_ARN})
THE_ROLE = grant({"AWS": ROLE_ARN})
THE_SESSION = grant({"AWS": SESSION_ARN})

FOREIGN_SESSION = role_session(account=OTHER_ACCOUNT)
FOREIGN_ROLE = FOREIGN_SESSION.principal_arn

CASES: list[tuple[str, VerifiedCaller, Policy | None, Decision]] = [
    # Within one account
    ("nothing allows", user(), None, NO_IDENTITY),
    ("another service is allowed", user(NONE), None, NO_IDENTITY),
    ("the identity's policy allows", user(FULL), None, ALLOWED),
    ("one of several policies allows", user(NONE, FULL), None, ALLOWED),
    ("an explicit deny wins over an allow", user(FORBIDDEN), None, denied_by(Source.IDENTITY)),
    ("in whatever policy it is", user(FULL, FORBIDDEN), None, denied_by(Source.IDENTITY)),
    ("and over the resource's allow", user(FORBIDDEN), THE_USER, denied_by(Source.IDENTITY)),
    ("the resource's policy is enough when it names the user", user(), THE_USER, ALLOWED),
    ("and when it names everybody", user(), EVERYBODY, ALLOWED),
    ("not when it names the account", user(), THE_ACCOUNT, NO_IDENTITY),
    ("nor when it names another user", user(name="bob"), THE_USER, NO_IDENTITY),
    ("a policy that names others takes nothing away", user(FULL, name="bob"), THE_USER, ALLOWED),
    ("the resource's deny wins", user(FULL), grant({"AWS": USER_ARN}, "Deny"), denied_by(Source.RESOURCE)),
    ("for a whole account too", user(FULL), grant({"AWS": ACCOUNT}, "Deny"), denied_by(Source.RESOURCE)),
    ("and for a session's role", role_session(FULL), grant({"AWS": ROLE_ARN}, "Deny"), denied_by(Source.RESOURCE)),
    ("a deny for others does not matter", user(FULL), grant({"AWS": ROLE_ARN}, "Deny"), ALLOWED),
    # The root of an account
    ("root may do everything", root(), None, ALLOWED),
    ("but not what the resource denies to it", root(), grant({"AWS": ACCOUNT}, "Deny"), denied_by(Source.RESOURCE)),
    # Permissions boundaries
    ("a boundary limits", user(FULL, boundary=NONE), None, NO_BOUNDARY),
    ("and grants nothing", user(boundary=FULL), None, NO_IDENTITY),
    ("both have to allow", user(FULL, boundary=FULL), None, ALLOWED),
    ("a deny in the boundary wins", user(FULL, boundary=FORBIDDEN), THE_USER, denied_by(Source.BOUNDARY)),
    ("a resource that names the user is not limited by its boundary", user(boundary=NONE), THE_USER, ALLOWED),
    ("one that names the account is", user(FULL, boundary=NONE), THE_ACCOUNT, NO_BOUNDARY),
    ("one that names the role is", role_session(boundary=NONE), THE_ROLE, NO_BOUNDARY),
    ("one that names the session is not", role_session(boundary=NONE), THE_SESSION, ALLOWED),
    ("one that names everybody is not", role_session(boundary=NONE), EVERYBODY, ALLOWED),
    # Sessions
    ("a session may do what its role may", role_session(FULL), None, ALLOWED),
    ("a session policy limits", role_session(FULL, session_policy=NONE), None, NO_SESSION),
    ("and grants nothing", role_session(session_policy=FULL), None, NO_IDENTITY),
    ("both have to allow", role_session(FULL, session_policy=FULL), None, ALLOWED),
    ("a deny in it wins", role_session(FULL, session_policy=FORBIDDEN), THE_SESSION, denied_by(Source.SESSION)),
    ("the resource may name the role", role_session(), THE_ROLE, ALLOWED),
    ("but its session policy still limits", role_session(session_policy=NONE), THE_ROLE, NO_SESSION),
    ("unless the resource names the session", role_session(session_policy=NONE), THE_SESSION, ALLOWED),
    ("both limits have to allow", role_session(FULL, boundary=NONE, session_policy=FULL), None, NO_BOUNDARY),
    # Across accounts
    ("a foreign identity's policy is not enough", user(FULL, account=OTHER_ACCOUNT), None, NO_RESOURCE),
    ("nor the resource's alone", user(account=OTHER_ACCOUNT), grant({"AWS": OTHER_ACCOUNT}), NO_IDENTITY),
    ("nor the resource's alone that names everybody", user(account=OTHER_ACCOUNT), EVERYBODY, NO_IDENTITY),
    ("both are", user(FULL, account=OTHER_ACCOUNT), grant({"AWS": OTHER_ACCOUNT}), ALLOWED),
    ("nor its alone that names the role", FOREIGN_SESSION, grant({"AWS": FOREIGN_ROLE}), NO_IDENTITY),
    ("nor its alone that names the session", FOREIGN_SESSION, grant({"AWS": FOREIGN_SESSION.arn}), NO_IDENTITY),
    (
        "both are, by name",
        user(FULL, account=OTHER_ACCOUNT),
        grant({"AWS": user(account=OTHER_ACCOUNT).arn}),
        ALLOWED,
    ),
    ("the user of the same name here is another one", user(FULL, account=OTHER_ACCOUNT), THE_USER, NO_RESOURCE),
    ("a foreign root needs the resource's policy", root(OTHER_ACCOUNT), None, NO_RESOURCE),
    ("and then has all it needs", root(OTHER_ACCOUNT), grant({"AWS": OTHER_ACCOUNT}), ALLOWED),
    (
        "a foreign session's policy limits what the resource grants to the session",
        role_session(FULL, account=OTHER_ACCOUNT, session_policy=NONE),
        grant({"AWS": role_session(account=OTHER_ACCOUNT).arn}),
        NO_SESSION,
    ),
    (
        "so does a foreign boundary",
        user(FULL, account=OTHER_ACCOUNT, boundary=NONE),
        grant({"AWS": user(account=OTHER_ACCOUNT).arn}),
        NO_BOUNDARY,
    ),
]  # fmt: skip


@pytest.mark.parametrize(
    ("caller", "policy", "expected"), [case[1:] for case in CASES], ids=[case[0] for case in CASES]
)
def test_the_rules(caller: VerifiedCaller, policy: Policy | None, expected: Decision) -> None:
    assert decide(caller, ACTION, CLUSTER, CONTEXT, policy) == expected


@pytest.mark.parametrize(
    ("statement", "is_allowed"),
    [
        (allow("*"), True),
        (allow("dsql:*"), True),
        (allow("dsql:DbConnect"), True),
        (allow("DSQL:dbconnect"), True),
        (allow("dsql:DbConnect*"), True),
        (allow("dsql:Db????ect"), True),
        (allow("dsql:DbConnectAdmin"), False),
        (allow("dsql:DbConnec"), False),
        (allow(["s3:*", "dsql:Db*"]), True),
        (allow(resource=CLUSTER), True),
        (allow(resource=f"{CLUSTER}x"), False),
        (allow(resource=CLUSTER.upper().replace("ARN", "arn")), False),
        (allow(resource=f"arn:aws:dsql:{REGION}:{ACCOUNT}:cluster/*"), True),
        (allow(resource=f"arn:aws:dsql:*:{ACCOUNT}:*"), True),
        (allow(resource="arn:aws:dsql:us-*-1:*:cluster/????????????????????????*"), True),
        (allow(resource=f"arn:aws:dsql:{REGION}:{OTHER_ACCOUNT}:cluster/*"), False),
        (allow(resource="arn:aws:rds:*:*:*"), False),
        ({"Effect": "Allow", "NotAction": "s3:*", "Resource": "*"}, True),
        ({"Effect": "Allow", "NotAction": ["s3:*", "dsql:DbConnect"], "Resource": "*"}, False),
        ({"Effect": "Allow", "Action": "*", "NotResource": "arn:aws:s3:::*"}, True),
        ({"Effect": "Allow", "Action": "*", "NotResource": CLUSTER}, False),
    ],
)  # fmt: skip
def test_actions_and_resources(statement: dict[str, object], is_allowed: bool) -> None:
    assert decide(user(identity(statement)), ACTION, CLUSTER, CONTEXT).is_allowed is is_allowed
    # A deny of the same reach takes away exactly that.
    denial = {**statement, "Effect": "Deny"}
    assert decide(user(identity(allow("*"), denial)), ACTION, CLUSTER, CONTEXT).is_allowed is not is_allowed


@pytest.mark.parametrize(
    ("principal", "caller", "is_denied"),
    [
        ({"AWS": USER_ARN}, user(FULL), False),
        ({"AWS": USER_ARN}, user(FULL, name="bob"), True),
        ({"AWS": [USER_ARN, ACCOUNT]}, user(FULL, name="bob"), True),
        ({"AWS": ACCOUNT}, root(), False),
        ({"AWS": ROLE_ARN}, role_session(FULL), False),
        ({"AWS": SESSION_ARN}, role_session(FULL), False),
        ({"AWS": ROLE_ARN}, user(FULL), True),
        ("*", user(FULL), False),
    ],
)
def test_a_deny_for_all_but_some(principal: object, caller: VerifiedCaller, is_denied: bool) -> None:
    policy = resource_policy({**deny(), "NotPrincipal": principal})
    assert decide(caller, ACTION, CLUSTER, CONTEXT, policy).is_allowed is not is_denied


def test_unique_identifiers_name_principals_too() -> None:
    assert decide(user(), ACTION, CLUSTER, CONTEXT, grant({"AWS": user().entity.id})) == ALLOWED
    assert decide(role_session(boundary=NONE), ACTION, CLUSTER, CONTEXT, grant({"AWS": role_session().entity.id})) == (
        NO_BOUNDARY
    )


def test_services_and_federated_identities_are_nobody_here() -> None:
    for principal in ({"Service": "ec2.amazonaws.com"}, {"Federated": "accounts.google.com"}):
        assert decide(user(), ACTION, CLUSTER, CONTEXT, grant(principal)) == NO_IDENTITY


def test_a_grant_that_is_needed_is_needed_from_whoever_may_do_everything() -> None:
    """Roles are assumed only by whom their trust policy names."""
    assert decide(user(FULL), ACTION, CLUSTER, CONTEXT, grant({"AWS": ROLE_ARN}), needs_grant=True) == NO_RESOURCE
    assert decide(user(FULL), ACTION, CLUSTER, CONTEXT, THE_ACCOUNT, needs_grant=True) == ALLOWED
    assert decide(user(), ACTION, CLUSTER, CONTEXT, THE_ACCOUNT, needs_grant=True) == NO_IDENTITY
    assert decide(user(), ACTION, CLUSTER, CONTEXT, THE_USER, needs_grant=True) == ALLOWED


@pytest.mark.parametrize(
    ("caller", "policy", "ending"),
    [
        (user(), None, "because no identity-based policy allows the dsql:DbConnect action"),
        (user(FORBIDDEN), None, "with an explicit deny in an identity-based policy"),
        (user(FULL), grant("*", "Deny"), "with an explicit deny in a resource-based policy"),
        (user(FULL, account=OTHER_ACCOUNT), None, "because no resource-based policy allows the dsql:DbConnect action"),
        (user(FULL, boundary=NONE), None, "because no permissions boundary allows the dsql:DbConnect action"),
        (role_session(FULL, session_policy=NONE), None, "because no session policy allows the dsql:DbConnect action"),
    ],
)
def test_refusals_say_it_in_the_words_of_aws(caller: VerifiedCaller, policy: Policy | None, ending: str) -> None:
    with pytest.raises(AuthorizationRefused) as refused:
        authorize(caller, ACTION, CLUSTER, CONTEXT, policy)
    assert refused.value.text == (
        f"User: {caller.arn} is not authorized to perform: dsql:DbConnect on resource: {CLUSTER} {ending}"
    )


def test_a_policy_that_would_lock_its_author_out_is_found() -> None:
    both = ["dsql:PutClusterPolicy", "dsql:DeleteClusterPolicy"]
    locking = resource_policy({**deny(both), "Principal": "*"})
    assert find_lockout(user(FULL), CLUSTER, CONTEXT, locking) == "dsql:PutClusterPolicy"
    assert find_lockout(root(), CLUSTER, CONTEXT, locking) == "dsql:PutClusterPolicy"
    half = resource_policy({**deny(both[1]), "Principal": {"AWS": USER_ARN}})
    assert find_lockout(user(FULL), CLUSTER, CONTEXT, half) == "dsql:DeleteClusterPolicy"
    assert find_lockout(user(FULL, name="bob"), CLUSTER, CONTEXT, half) is None
    elsewhere = resource_policy(
        {**deny(both), "Principal": "*", "Condition": {"NotIpAddress": {"aws:SourceIp": "203.0.113.0/24"}}}
    )
    assert find_lockout(user(FULL), CLUSTER, CONTEXT, elsewhere) is None
