"""Who may log in, and which sessions can share backends."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address

import pytest

from borealis.foundation.identifiers import Timestamp
from borealis.front import messages
from borealis.front.login import Login, decide_login, greeting, judge_role, without_cluster_option
from borealis.wire.handover import Action, HandOver, Refusal

CLUSTER = "abcdefghijklmnopqrstuvwxyz"
ADMIN = HandOver(
    cluster=CLUSTER,
    server_name="",
    database="postgres",
    user="admin",
    startup_parameters=(("application_name", "psql"), ("client_encoding", "UTF8")),
    protocol_version=3 << 16,
    principal="arn:aws:iam::000000000000:user/ann",
    action=Action.DB_CONNECT_ADMIN,
    client_address=IPv4Address("127.0.0.1"),
    client_port=1,
    deadline=Timestamp(1),
    is_direct_tls=False,
    has_alpn=False,
)
BOB = replace(ADMIN, user="bob", action=Action.DB_CONNECT)


def decide(hand_over: HandOver) -> Login:
    decision = decide_login(hand_over, CLUSTER)
    assert isinstance(decision, Login), decision
    return decision


@pytest.mark.parametrize(
    ("hand_over", "sqlstate", "text"),
    [
        (replace(ADMIN, database="other"), "3D000", 'database "other" does not exist'),
        (replace(ADMIN, action=Action.DB_CONNECT), "08006", "user: admin, action: DbConnect"),
        (replace(BOB, action=Action.DB_CONNECT_ADMIN), "08006", "user: bob, action: DbConnectAdmin"),
        (replace(BOB, user="borealis"), "08006", "not authorized to connect as the role borealis"),
        (replace(ADMIN, startup_parameters=(("replication", "true"),)), "0A000", "replication"),
        (replace(ADMIN, cluster="z" * 26), "08006", "not served here"),
    ],
)
def test_who_is_refused(hand_over: HandOver, sqlstate: str, text: str) -> None:
    refusal = decide_login(hand_over, CLUSTER)
    assert isinstance(refusal, Refusal)
    assert refusal.sqlstate == sqlstate
    assert text in refusal.message + refusal.hint


def test_only_admin_needs_no_mapping() -> None:
    assert not decide(ADMIN).needs_mapping
    assert decide(BOB).needs_mapping


@pytest.mark.parametrize("row", [None, [b"t", b"f"], [b"f", b"t"], [None, None]])
def test_a_role_that_is_not_theirs(row: list[bytes | None] | None) -> None:
    refusal = judge_role(BOB, row)
    assert refusal is not None
    assert refusal.sqlstate == "08006"
    assert refusal.message == "unable to accept connection, access denied"
    assert BOB.principal in refusal.hint
    assert judge_role(BOB, [b"t", b"t"]) is None


def test_the_order_of_parameters_does_not_matter() -> None:
    turned = replace(ADMIN, startup_parameters=ADMIN.startup_parameters[::-1])
    assert decide(turned).kind == decide(ADMIN).kind
    assert decide(ADMIN).kind != decide(replace(ADMIN, startup_parameters=())).kind


def test_plain_settings_are_no_matter_of_the_backend() -> None:
    """But their names are: the next session replaces the values, and could not take one away."""
    one, other = (
        decide(replace(ADMIN, startup_parameters=(("application_name", name), ("x.y", "1"), ("TIMEZONE", zone))))
        for name, zone in (("a", "UTC"), ("b", "Asia/Tokyo"))
    )
    assert one.kind == other.kind
    assert one.kind.names == ("application_name", "timezone")
    assert one.kind.parameters == (("x.y", "1"),)
    assert one.settings == (("application_name", "a"), ("timezone", "UTC"))
    assert decide(replace(ADMIN, startup_parameters=(("timezone", "UTC"),))).kind != one.kind
    twice = replace(ADMIN, startup_parameters=(("TimeZone", "UTC"), ("timezone", "Asia/Tokyo")))
    assert decide(twice).settings == (("timezone", "Asia/Tokyo"),)


@pytest.mark.parametrize(
    ("options", "kept"),
    [
        (f"-c amzn-cluster-id={CLUSTER}", ""),
        (f"-camzn-cluster-id={CLUSTER} -c search_path=a\\ b", "-c search_path=a\\ b"),
        (f"--amzn-cluster-id={CLUSTER} -c x=y", "-c x=y"),
        ("-c search_path=a -c x=y", "-c search_path=a -c x=y"),
    ],
)
def test_the_cluster_in_the_options_is_not_for_postgres(options: str, kept: str) -> None:
    assert without_cluster_option(options) == kept
    parameters = decide(replace(ADMIN, startup_parameters=(("options", options),))).kind.parameters
    assert parameters == ((("options", kept),) if kept else ())


def test_the_first_words() -> None:
    assert greeting({b"a": b"b"}, 1, 2) == b"".join(
        (
            messages.AUTHENTICATION_OK,
            messages.parameter_status(b"a", b"b"),
            messages.key_data(1, 2),
            messages.ready_for_query(messages.IDLE),
        )
    )
