"""The cached view: what another process commits holds for the next question, not for a later one."""

import subprocess
import sys
from pathlib import Path

import pytest

from borealis.foundation.errors import Unavailable
from borealis.iam import IamReader, IamStore, Refused, authorize, verify_token
from borealis.iam.assume_role import assume_role
from borealis.iam.context import RequestContext
from borealis.iam.refusals import Cause
from tests.unit.iam.callers import CONTEXT, allow, deny, document
from tests.unit.iam.installation import ACCOUNT, CLUSTER, HOST, NOW, REGION, CountedBytes, Key, installation, make_token
from tests.unit.iam.test_tokens import TRUST

ADMIN_CONNECT = "dsql:DbConnectAdmin"


def outcome(reader: IamReader, token: str) -> str:
    """What a login with this token is answered."""
    try:
        authorize(verify_token(reader, token, HOST, REGION, NOW), ADMIN_CONNECT, CLUSTER, CONTEXT)
    except Refused as refused:
        return refused.cause.value
    return "in"


def test_a_store_that_is_not_there_yet_is_unavailable(tmp_path: Path) -> None:
    with pytest.raises(Unavailable):
        IamReader.open(tmp_path)


def test_every_change_holds_for_the_next_login(store: IamStore, reader: IamReader) -> None:
    user = store.entities.create_user(ACCOUNT, "ann", NOW)
    key = store.access_keys.create(user, NOW)
    token = make_token(key)
    assert outcome(reader, token) == Cause.NOT_AUTHORIZED.value
    policy = store.policies.create(ACCOUNT, "Connect", document(allow(ADMIN_CONNECT)), NOW)
    store.policies.attach(user, policy.arn)
    assert outcome(reader, token) == "in"
    store.policies.set_document(policy.arn, document(allow("dsql:DbConnect")), NOW)
    assert outcome(reader, token) == Cause.NOT_AUTHORIZED.value
    store.policies.put_inline(user, "own", document(allow()))
    assert outcome(reader, token) == "in"
    store.entities.set_boundary(user, policy.arn)
    assert outcome(reader, token) == Cause.NOT_AUTHORIZED.value
    store.entities.set_boundary(user, None)
    assert outcome(reader, token) == "in"
    store.access_keys.set_active(key.id, False)
    assert outcome(reader, token) == Cause.UNKNOWN_CREDENTIAL.value
    store.access_keys.set_active(key.id, True)
    assert outcome(reader, token) == "in"
    store.entities.delete(user)
    assert outcome(reader, token) == Cause.UNKNOWN_CREDENTIAL.value


def test_a_session_lives_with_its_role(store: IamStore, reader: IamReader) -> None:
    role = store.entities.create_role(ACCOUNT, "app", TRUST, NOW)
    store.policies.put_inline(role, "own", document(allow()))
    administrator = verify_token(reader, make_token(store.administrator_key()), HOST, REGION, NOW)
    key: Key = assume_role(reader, administrator, role.arn, "one", RequestContext(NOW, REGION), CountedBytes("s"))
    token = make_token(key)
    assert outcome(reader, token) == "in"
    store.policies.put_inline(role, "own", document(deny()))
    assert outcome(reader, token) == Cause.NOT_AUTHORIZED.value
    # As AWS ends the sessions of a role: those from before a moment are denied everything.
    before = {"DateLessThan": {"aws:TokenIssueTime": "2026-09-21T14:13:21Z"}}
    store.policies.put_inline(role, "own", document(allow()))
    store.policies.put_inline(role, "revoke", document(deny("*", Condition=before)))
    assert outcome(reader, token) == Cause.NOT_AUTHORIZED.value
    store.policies.delete_inline(role, "revoke")
    assert outcome(reader, token) == "in"
    store.entities.delete(role)
    store.entities.create_role(ACCOUNT, "app", TRUST, NOW)
    assert outcome(reader, token) == Cause.UNKNOWN_CREDENTIAL.value


def test_another_process_is_noticed_at_the_next_login(tmp_path: Path) -> None:
    """A writer in a process of its own says when it has committed; the very next answer has to know."""
    program = """
import os, sys
from pathlib import Path
from borealis.iam import IamStore
with IamStore.open(Path(sys.argv[1]), os.urandom) as store:
    for line in sys.stdin:
        store.access_keys.set_active(sys.argv[2], line == "on\\n")
        print("done", flush=True)
"""
    with installation(tmp_path) as (store, reader):
        key = store.administrator_key()
        token = make_token(key)
        with subprocess.Popen(
            [sys.executable, "-c", program, str(tmp_path), key.id],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as writer:
            assert writer.stdin is not None
            assert writer.stdout is not None
            for _ in range(50):
                for order, expected in (("off", Cause.UNKNOWN_CREDENTIAL.value), ("on", "in")):
                    writer.stdin.write(f"{order}\n")
                    writer.stdin.flush()
                    assert writer.stdout.readline() == "done\n"
                    assert outcome(reader, token) == expected
                    assert outcome(reader, token) == expected
            writer.stdin.close()


def test_memory_is_bounded(store: IamStore, reader: IamReader, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(IamReader, "CACHED_MAX", 3)
    user = store.entities.create_user(ACCOUNT, "ann", NOW)
    tokens = [make_token(store.access_keys.create(user, NOW)) for _ in range(8)]
    for token in (*tokens, *tokens):
        assert outcome(reader, token) == Cause.NOT_AUTHORIZED.value
        assert len(reader._keys) <= 3
