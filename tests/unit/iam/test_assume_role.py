"""Temporary credentials: who gets them, for how long, and what they are worth."""

import json
import string
from dataclasses import replace

import pytest

from borealis.clusters.names import InvalidName
from borealis.foundation.errors import Malformed
from borealis.iam import IamReader, IamStore, verify_token
from borealis.iam.assume_role import assume_role
from borealis.iam.authorization import decide
from borealis.iam.caller import Entity, VerifiedCaller
from borealis.iam.context import RequestContext
from borealis.iam.errors import MalformedPolicy, NotPossible
from borealis.iam.records import EntityRecord, TemporaryCredentials
from borealis.iam.refusals import AuthorizationRefused
from borealis.iam.sealing import Seal
from borealis.iam.session_tokens import PURPOSE, open_session
from tests.unit.iam.callers import CONTEXT, allow, document
from tests.unit.iam.installation import ACCOUNT, CLUSTER, HOST, NOW, OTHER_ACCOUNT, REGION, CountedBytes, at, make_token

CONTEXT_NOW = RequestContext(NOW, REGION)
MAY_ASSUME = document(allow("sts:*"))


def trust(principal: object, **more: object) -> str:
    statement = {"Effect": "Allow", "Principal": {"AWS": principal}, "Action": "sts:AssumeRole", **more}
    return json.dumps({"Version": "2012-10-17", "Statement": statement})


class Actors:
    """Ann, and what she can become."""

    def __init__(self, store: IamStore, reader: IamReader) -> None:
        self.store = store
        self.reader = reader
        self.random = CountedBytes("actors")
        self.ann = store.entities.create_user(ACCOUNT, "ann", NOW)

    def role(self, trust_policy: str, name: str = "app", account: str = ACCOUNT) -> EntityRecord:
        return self.store.entities.create_role(account, name, trust_policy, NOW)

    def caller(self, record: EntityRecord) -> VerifiedCaller:
        entity: Entity | None = self.reader.read_entity(record.arn)
        assert entity is not None
        return VerifiedCaller(entity, None, "")

    def become(self, role: EntityRecord, caller: VerifiedCaller | None = None, **more: object) -> TemporaryCredentials:
        return assume_role(
            self.reader, caller or self.caller(self.ann), role.arn, "job", CONTEXT_NOW, self.random, **more
        )  # type: ignore[arg-type]

    def verify(self, credentials: TemporaryCredentials, offset_s: int = 0) -> VerifiedCaller:
        return verify_token(self.reader, make_token(credentials, lifetime_s=604_800), HOST, REGION, at(offset_s))


@pytest.fixture
def actors(store: IamStore, reader: IamReader) -> Actors:
    return Actors(store, reader)


def test_a_role_that_names_the_caller_is_enough(actors: Actors) -> None:
    credentials = actors.become(actors.role(trust(actors.ann.arn)))
    caller = actors.verify(credentials)
    assert caller.arn == f"arn:aws:sts::{ACCOUNT}:assumed-role/app/job" == credentials.arn
    assert caller.principal_arn == f"arn:aws:iam::{ACCOUNT}:role/app"
    assert caller.user_id == credentials.user_id


def test_a_role_that_names_the_account_leaves_it_to_the_account(actors: Actors) -> None:
    role = actors.role(trust(ACCOUNT))
    with pytest.raises(AuthorizationRefused, match="no identity-based policy allows the sts:AssumeRole action"):
        actors.become(role)
    actors.store.policies.put_inline(actors.ann, "own", MAY_ASSUME)
    assert actors.verify(actors.become(role)).account == ACCOUNT


def test_a_role_that_names_somebody_else_is_closed_to_whoever_may_assume_everything(actors: Actors) -> None:
    actors.store.policies.put_inline(actors.ann, "own", document(allow("*")))
    bob = actors.store.entities.create_user(ACCOUNT, "bob", NOW)
    with pytest.raises(AuthorizationRefused, match="no resource-based policy"):
        actors.become(actors.role(trust(bob.arn)))


def test_a_role_that_is_not_there_answers_like_one_that_names_others(actors: Actors) -> None:
    bob = actors.store.entities.create_user(ACCOUNT, "bob", NOW)
    role = actors.role(trust(bob.arn))
    texts = []
    for named in (role, replace(role, arn=f"{role.arn}x")):
        with pytest.raises(AuthorizationRefused) as refused:
            actors.become(named)
        texts.append(refused.value.text.replace(named.arn, "ROLE"))
    assert texts[0] == texts[1]


def test_across_accounts_both_have_to_agree(actors: Actors) -> None:
    actors.store.entities.create_account(OTHER_ACCOUNT, NOW)
    role = actors.role(trust(actors.ann.arn), account=OTHER_ACCOUNT)
    with pytest.raises(AuthorizationRefused):
        actors.become(role)
    actors.store.policies.put_inline(actors.ann, "own", MAY_ASSUME)
    assert actors.verify(actors.become(role)).account == OTHER_ACCOUNT


def test_sessions_expire_and_are_no_longer_than_allowed(actors: Actors) -> None:
    role = actors.role(trust(actors.ann.arn))
    credentials = actors.become(role, duration_s=900)
    assert actors.verify(credentials, 899).session is not None
    for duration_s in (899, 3601):
        with pytest.raises(NotPossible, match="lasts 900 to 3600 seconds"):
            actors.become(role, duration_s=duration_s)


def test_a_session_can_become_another_role_for_an_hour(actors: Actors) -> None:
    first = actors.role(trust(actors.ann.arn), "first")
    second = actors.store.entities.create_role(ACCOUNT, "second", trust(first.arn), NOW, session_s_max=7200)
    session = actors.verify(actors.become(first))
    assert actors.verify(actors.become(second, session)).arn.endswith("assumed-role/second/job")
    with pytest.raises(NotPossible, match="900 to 3600"):
        actors.become(second, session, duration_s=7200)


def test_a_session_policy_and_tags_go_along(actors: Actors) -> None:
    role = actors.role(trust(actors.ann.arn, Action=["sts:AssumeRole", "sts:TagSession"]))
    actors.store.policies.put_inline(role, "own", document(allow()))
    limit = document(allow("dsql:DbConnect", Condition={"StringEquals": {"aws:PrincipalTag/team": "red"}}))
    for tags, is_allowed in (((("team", "red"),), True), ((("team", "blue"),), False)):
        session = actors.verify(actors.become(role, policy=limit, tags=tags))
        assert decide(session, "dsql:DbConnect", CLUSTER, CONTEXT).is_allowed is is_allowed
        assert not decide(session, "dsql:GetCluster", CLUSTER, CONTEXT).is_allowed
    with pytest.raises(MalformedPolicy):
        actors.become(role, policy="{}")
    with pytest.raises(MalformedPolicy, match="at most 2048"):
        actors.become(role, policy=document(*(allow() for _ in range(60))))
    with pytest.raises(NotPossible, match="each once"):
        actors.become(role, tags=(("a", "1"), ("A", "2")))
    with pytest.raises(InvalidName):
        assume_role(actors.reader, actors.caller(actors.ann), role.arn, "no good", CONTEXT_NOW, actors.random)


def test_tags_need_a_permission_of_their_own(actors: Actors) -> None:
    role = actors.role(trust(actors.ann.arn))
    with pytest.raises(AuthorizationRefused, match="sts:TagSession"):
        actors.become(role, tags=(("team", "red"),))


def test_conditions_of_the_trust_policy(actors: Actors) -> None:
    role = actors.role(trust(actors.ann.arn, Condition={"StringEquals": {"sts:ExternalId": "7"}}))
    with pytest.raises(AuthorizationRefused):
        actors.become(role)
    assert actors.verify(actors.become(role, external_id="7")).account == ACCOUNT
    named = actors.role(trust(actors.ann.arn, Condition={"StringLike": {"sts:RoleSessionName": "j*"}}), "named")
    assert actors.verify(actors.become(named)).account == ACCOUNT


def test_session_tokens_of_others_do_not_open(actors: Actors) -> None:
    token = actors.become(actors.role(trust(actors.ann.arn))).session_token.reveal()
    ours, others = actors.reader.sessions_seal, Seal(b"x" * 32, PURPOSE)
    assert open_session(token, ours).session_name == "job"
    for text, seal in ((token, others), ("", ours), ("A", ours), ("?" * 40, ours), ("é", ours), ("A" * 9000, ours)):
        with pytest.raises(Malformed):
            open_session(text, seal)
    for position in range(len(token)):
        changed = token[:position] + ("A" if token[position] != "A" else "B") + token[position + 1 :]
        with pytest.raises(Malformed):
            open_session(changed, ours)


def test_a_session_token_has_one_spelling(actors: Actors) -> None:
    """The last character of base 64 may have bits to spare; which, depends on the length."""
    role = actors.role(trust(actors.ann.arn))
    caller, alphabet = actors.caller(actors.ann), string.ascii_letters + string.digits + "-_"
    for name in ("jo", "job", "jobs"):
        credentials = assume_role(actors.reader, caller, role.arn, name, CONTEXT_NOW, actors.random)
        token = credentials.session_token.reveal()
        for last in alphabet.replace(token[-1], ""):
            with pytest.raises(Malformed):
                open_session(token[:-1] + last, actors.reader.sessions_seal)
