"""Tokens of logins: what botocore makes is taken, what differs from it in anything is refused."""

import json
import random
import string
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote, unquote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from borealis.iam import IamReader, IamStore, verify_token
from borealis.iam.assume_role import assume_role
from borealis.iam.caller import ConnectAction, VerifiedCaller
from borealis.iam.context import RequestContext
from borealis.iam.records import NewAccessKey, TemporaryCredentials
from borealis.iam.refusals import API_ERRORS, AuthenticationRefused, AuthorizationRefused, Cause
from borealis.iam.secret import Secret
from borealis.iam.tokens import LIFETIME_S_MAX, check_user
from tests.examples import examples
from tests.unit.iam.installation import (
    ACCOUNT,
    HOST,
    NOW,
    NOW_S,
    REGION,
    CountedBytes,
    Key,
    at,
    installation,
    make_token,
    presign_url,
)

TRUST = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": {"Effect": "Allow", "Principal": {"AWS": ACCOUNT}, "Action": "sts:AssumeRole"},
    }
)


def assume(store: IamStore, reader: IamReader, name: str = "application") -> TemporaryCredentials:
    role = store.entities.create_role(ACCOUNT, name, TRUST, NOW)
    caller = verify_token(reader, make_token(store.administrator_key()), HOST, REGION, NOW)
    return assume_role(reader, caller, role.arn, "worker-1", RequestContext(NOW, REGION), CountedBytes(name))


class Desk:
    """One store for a whole module, and the keys that its examples are signed with."""

    def __init__(self, store: IamStore, reader: IamReader) -> None:
        self.reader = reader
        self.keys: list[Key] = [store.administrator_key(), assume(store, reader)]

    def verify(self, token: str, host: str = HOST, region: str = REGION, offset_s: float = 0) -> VerifiedCaller:
        return verify_token(self.reader, token, host, region, at(offset_s))

    def refusal(self, token: str, host: str = HOST, region: str = REGION, offset_s: float = 0) -> AuthenticationRefused:
        with pytest.raises(AuthenticationRefused) as refused:
            self.verify(token, host, region, offset_s)
        return refused.value


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    folder: Path = tmp_path_factory.mktemp("iam")
    with installation(folder) as (store, reader):
        yield Desk(store, reader)


labels = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,20}[a-z0-9])?", fullmatch=True)


@given(
    key=st.integers(0, 1),
    is_admin=st.booleans(),
    region=st.sampled_from(["us-east-1", "eu-west-3", "us-gov-west-1"]),
    host=st.lists(labels, min_size=1, max_size=5).map(".".join),
    lifetime_s=st.integers(0, LIFETIME_S_MAX),
    age=st.floats(0, 1),
)
def test_every_token_of_the_sdk_is_taken_for_as_long_as_it_lasts(
    desk: Desk, key: int, is_admin: bool, region: str, host: str, lifetime_s: int, age: float
) -> None:
    token = make_token(desk.keys[key], host=host, region=region, is_admin=is_admin, lifetime_s=lifetime_s)
    last = min(lifetime_s, 3600 if key else lifetime_s)
    # A session's last moment is the one before it expires.
    caller = desk.verify(token, host, region, max(0, int(last * age) - key))
    assert caller.connect_action is (ConnectAction.CONNECT_ADMIN if is_admin else ConnectAction.CONNECT)
    assert caller.arn.endswith(":assumed-role/application/worker-1" if key else ":user/administrator")
    assert caller.principal_arn.endswith(":role/application" if key else ":user/administrator")


@given(key=st.integers(0, 1), seed=st.integers(0, 1000))
def test_the_order_of_parameters_is_free(desk: Desk, key: int, seed: int) -> None:
    host, _, query = make_token(desk.keys[key]).partition("/?")
    pairs = query.split("&")
    random.Random(seed).shuffle(pairs)
    assert desk.verify(f"{host}/?{'&'.join(pairs)}").account == ACCOUNT


@given(data=st.data(), key=st.integers(0, 1))
@settings(max_examples=examples(400))
def test_a_changed_character_is_refused(desk: Desk, data: st.DataObject, key: int) -> None:
    token = make_token(desk.keys[key])
    position = data.draw(st.integers(0, len(token) - 1))
    replacement = data.draw(st.one_of(st.sampled_from(string.printable), st.characters()))
    if token[position] == replacement or (position < len(HOST) and token[position] == replacement.lower()):
        return
    desk.refusal(token[:position] + replacement + token[position + 1 :])


@given(data=st.data(), key=st.integers(0, 1))
@settings(max_examples=examples(300))
def test_a_missing_or_an_added_piece_is_refused(desk: Desk, data: st.DataObject, key: int) -> None:
    token = make_token(desk.keys[key])
    begin = data.draw(st.integers(0, len(token)))
    end = data.draw(st.integers(begin, min(len(token), begin + 40)))
    inserted = data.draw(
        st.one_of(st.just(""), st.text(max_size=8), st.sampled_from(["&", "=", "%", "%00", "/?", "\0"]))
    )
    changed = token[:begin] + inserted + token[end:]
    if changed.lower() != token.lower():
        desk.refusal(changed)


@given(data=st.data())
def test_parts_of_one_token_pasted_into_another_are_refused(desk: Desk, data: st.DataObject) -> None:
    """Each parameter of one valid token in the place of the same one of another valid token."""
    first = make_token(desk.keys[data.draw(st.integers(0, 1))], is_admin=data.draw(st.booleans()), lifetime_s=60)
    second = make_token(
        desk.keys[data.draw(st.integers(0, 1))], is_admin=data.draw(st.booleans()), lifetime_s=61, now_s=NOW_S - 1
    )
    ours, theirs = ([*token.partition("/?")[2].split("&")] for token in (first, second))
    by_name = {pair.partition("=")[0]: pair for pair in theirs}
    names = data.draw(st.sets(st.sampled_from([pair.partition("=")[0] for pair in ours]), min_size=1))
    pasted = [by_name.get(pair.partition("=")[0], pair) if pair.partition("=")[0] in names else pair for pair in ours]
    if set(pasted) not in (set(ours), set(theirs)):
        desk.refusal(f"{HOST}/?{'&'.join(pasted)}")


@given(text=st.text())
def test_any_text_is_refused_and_nothing_else_happens(desk: Desk, text: str) -> None:
    desk.refusal(text)
    desk.refusal(f"{HOST}/?{text}")


@pytest.mark.parametrize("key", [0, 1])
def test_no_parameter_can_be_left_out_doubled_or_encoded_otherwise(desk: Desk, key: int) -> None:
    token = make_token(desk.keys[key])
    pairs = token.partition("/?")[2].split("&")
    for pair in pairs:
        others = [other for other in pairs if other != pair]
        name, _, value = pair.partition("=")
        # Without its session token a temporary key is an unknown one.
        expected = {Cause.UNKNOWN_CREDENTIAL} if name == "X-Amz-Security-Token" else {Cause.INCOMPLETE}
        assert desk.refusal(f"{HOST}/?{'&'.join(others)}").cause in expected
        for spelling in (unquote(value), quote(value), value.lower(), "".join(f"%{ord(c):02X}" for c in value), ""):
            if spelling != value:
                desk.refusal(f"{HOST}/?{'&'.join([*others, f'{name}={spelling}'])}")
        for more in (pair, f"{name}=", f"{name.lower()}={value}", "x=y", "X-Amz-Content-Sha256=UNSIGNED-PAYLOAD", ""):
            desk.refusal(f"{token}&{more}")


def test_what_tokens_do_not_have_is_refused_even_when_it_is_signed(desk: Desk) -> None:
    """Whoever has a key can sign anything: one thing must not be read as two."""
    root = f"https://{HOST}/?Action=DbConnect"
    assert desk.verify(presign_url(desk.keys[0], root)).connect_action is ConnectAction.CONNECT
    odd = {"X-Odd": "1"}
    for token in (
        presign_url(desk.keys[0], f"{root}&DBUser=admin"),
        presign_url(desk.keys[0], f"{root}Stream"),
        presign_url(desk.keys[0], f"https://{HOST}/cluster?Action=DbConnect"),
        presign_url(desk.keys[0], root, odd),
    ):
        assert desk.refusal(token).cause is Cause.INCOMPLETE


def test_a_token_made_in_the_future_is_refused_beyond_five_minutes(desk: Desk) -> None:
    token = make_token(desk.keys[0])
    assert desk.verify(token, offset_s=-300).account == ACCOUNT
    refusal = desk.refusal(token, offset_s=-301)
    assert refusal.cause is Cause.EXPIRED_SIGNATURE
    assert refusal.text == (
        "Signature not yet current: 20260921T141320Z is still later than 20260921T141319Z (20260921T140819Z + 5 min.)"
    )


def test_an_expired_token_says_so(desk: Desk) -> None:
    refusal = desk.refusal(make_token(desk.keys[0]), offset_s=901)
    assert refusal.text == (
        "Signature expired: 20260921T141320Z is now earlier than 20260921T141321Z (20260921T142821Z - 15 min.)"
    )
    assert desk.refusal(make_token(desk.keys[0], lifetime_s=1), offset_s=2).cause is Cause.EXPIRED_SIGNATURE


def test_a_token_lasts_a_week_at_most(desk: Desk) -> None:
    assert desk.verify(make_token(desk.keys[0], lifetime_s=604_800), offset_s=604_800).account == ACCOUNT
    assert desk.refusal(make_token(desk.keys[0], lifetime_s=604_801)).cause is Cause.INCOMPLETE
    assert desk.refusal(make_token(desk.keys[0], lifetime_s=-1)).cause is Cause.INCOMPLETE


def test_another_host_region_or_service_is_refused(desk: Desk) -> None:
    token = make_token(desk.keys[0])
    assert desk.verify(token, HOST.upper()).account == ACCOUNT
    assert desk.refusal(token, "x" + HOST[1:]).text == f"Token was made for host '{HOST}', not for '{'x' + HOST[1:]}'."
    elsewhere = desk.refusal(token, region="eu-west-1")
    assert elsewhere.text == "Credential should be scoped to a valid region, not 'us-east-1'."
    assert desk.refusal(token.replace("%2Fdsql%2F", "%2Frds-db%2F")).text == (
        "Credential should be scoped to correct service: 'dsql'."
    )
    assert desk.refusal(token.replace("%2F20260921%2F", "%2F20260922%2F")).cause is Cause.WRONG_SCOPE


def test_a_host_in_capitals_is_the_same_host(desk: Desk) -> None:
    """botocore signs it in lower case and leaves it as it is in the token."""
    assert desk.verify(make_token(desk.keys[0], host=HOST.upper())).account == ACCOUNT


def test_an_unknown_key_is_told_from_a_wrong_secret(desk: Desk, store: IamStore) -> None:
    ours = store.administrator_key()
    liar = NewAccessKey(ours.id, ours.entity_arn, Secret("A" * 40))
    assert desk.refusal(make_token(liar)).cause is Cause.WRONG_SIGNATURE
    other = store.access_keys.create(store.entities.create_user(ACCOUNT, "somebody", NOW), NOW)
    refusal = desk.refusal(make_token(other))
    assert refusal.cause is Cause.UNKNOWN_CREDENTIAL
    assert refusal.text == "The security token included in the request is invalid."


def test_the_session_token_belongs_to_its_key_and_expires(desk: Desk) -> None:
    token = make_token(desk.keys[1], lifetime_s=7200)
    assert desk.verify(token, offset_s=3599).session is not None
    refusal = desk.refusal(token, offset_s=3600)
    assert refusal.cause is Cause.EXPIRED_CREDENTIAL
    assert API_ERRORS[refusal.cause].code == "ExpiredTokenException"
    # The administrator's key with the session's token.
    session = next(pair for pair in token.split("&") if pair.startswith("X-Amz-Security-Token"))
    assert desk.refusal(f"{make_token(desk.keys[0])}&{session}").cause is Cause.UNKNOWN_CREDENTIAL


def test_users_go_with_their_action() -> None:
    check_user("admin", ConnectAction.CONNECT_ADMIN)
    check_user("web", ConnectAction.CONNECT)
    for user, action in (("admin", ConnectAction.CONNECT), ("web", ConnectAction.CONNECT_ADMIN)):
        with pytest.raises(AuthorizationRefused) as refused:
            check_user(user, action)
        assert refused.value.text == f"Wrong user to action mapping. user: {user}, action: {action.value}"


@given(token=st.data())
def test_refusals_repeat_neither_signatures_nor_session_tokens(desk: Desk, token: st.DataObject) -> None:
    good = make_token(desk.keys[1])
    signature, session = (
        next(pair for pair in good.split("&") if pair.startswith(name)).partition("=")[2]
        for name in ("X-Amz-Signature", "X-Amz-Security-Token")
    )
    position = token.draw(st.integers(0, len(good) - 1))
    changed = good[:position] + "~" + good[position + 1 :]
    if changed != good:
        text = str(desk.refusal(changed))
        assert signature not in text
        assert session[:40] not in text
