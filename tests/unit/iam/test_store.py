"""The store: what it keeps, what it refuses, and that secrets are sealed where they lie."""

import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from borealis.clusters.names import InvalidName
from borealis.foundation.errors import Unavailable
from borealis.iam import IamReader, IamStore, verify_token
from borealis.iam.access_keys import ACCESS_KEYS_MAX
from borealis.iam.errors import AlreadyExists, MalformedPolicy, NotFound, NotPossible
from borealis.iam.managed_policies import ADMINISTRATOR_ACCESS
from borealis.iam.names import EntityKind
from borealis.iam.schema import FILE_NAME, MASTER_KEY_NAME
from tests.unit.iam.callers import allow, document
from tests.unit.iam.installation import ACCOUNT, HOST, NOW, OTHER_ACCOUNT, REGION, CountedBytes, at, make_token

POLICY = document(allow())


def test_the_first_start_makes_an_administrator_and_the_next_ones_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "data" / "control"
    with IamStore.open(folder, os.urandom) as store:
        with pytest.raises(Unavailable, match="start Borealis once"):
            store.account()
        store.install(ACCOUNT, NOW)
        first = store.administrator_key()
    with IamStore.open(folder, os.urandom) as store:
        store.install(OTHER_ACCOUNT, at(1))
        assert store.account() == ACCOUNT
        assert store.administrator_key() == first
        assert [user.name for user in store.entities.list_of(ACCOUNT, EntityKind.USER)] == ["administrator"]
    assert {entry.name: oct(entry.stat().st_mode)[-3:] for entry in [folder, *folder.iterdir()]} == {
        "control": "700",
        FILE_NAME: "600",
        MASTER_KEY_NAME: "600",
    }


def test_secrets_are_nowhere_in_the_files_and_in_no_text(tmp_path: Path) -> None:
    folder = tmp_path / "control"
    with IamStore.open(folder, os.urandom) as store:
        store.install(ACCOUNT, NOW)
        key = store.administrator_key()
        secret = key.secret.reveal()
        with IamReader.open(folder) as reader:
            credential = reader.find_credential(key.id, None, NOW)
            for thing in (key, credential, credential.signing, credential.verified(), key.secret):
                assert secret not in f"{thing!r} {thing} {thing:}"
        for file in folder.iterdir():
            assert secret.encode() not in file.read_bytes()


def test_a_sealed_secret_opens_in_its_own_row_only(tmp_path: Path) -> None:
    folder = tmp_path / "control"
    with IamStore.open(folder, CountedBytes()) as store:
        store.install(ACCOUNT, NOW)
        administrator = store.administrator_key()
        mallory = store.entities.create_user(ACCOUNT, "mallory", NOW)
        own = store.access_keys.create(mallory, NOW)
    with closing(sqlite3.connect(folder / FILE_NAME)) as connection, connection:
        # Whoever can write rows gives the administrator's key the secret that he knows.
        connection.execute(
            "UPDATE access_key SET sealed_secret = (SELECT sealed_secret FROM access_key WHERE id = ?) WHERE id = ?",
            (own.id, administrator.id),
        )
    with IamReader.open(folder) as reader, pytest.raises(Unavailable, match=f"{administrator.id} is damaged"):
        verify_token(reader, make_token(administrator), HOST, REGION, NOW)
    with closing(sqlite3.connect(folder / FILE_NAME)) as connection, connection:
        # Or gives his own key to the administrator.
        connection.execute(
            "UPDATE access_key SET entity = (SELECT administrator FROM installation) WHERE id = ?", (own.id,)
        )
    with IamReader.open(folder) as reader, pytest.raises(Unavailable, match=f"{own.id} is damaged"):
        verify_token(reader, make_token(own), HOST, REGION, NOW)


def test_another_master_key_is_noticed_at_once(tmp_path: Path) -> None:
    for name in ("one", "other"):
        with IamStore.open(tmp_path / name, os.urandom) as store:
            store.install(ACCOUNT, NOW)
    shutil.copy(tmp_path / "one" / MASTER_KEY_NAME, tmp_path / "other" / MASTER_KEY_NAME)
    with pytest.raises(Unavailable, match="restore both from one backup"):
        IamStore.open(tmp_path / "other", os.urandom)
    with pytest.raises(Unavailable, match="restore both from one backup"):
        IamReader.open(tmp_path / "other")
    (tmp_path / "one" / MASTER_KEY_NAME).write_bytes(b"short")
    with pytest.raises(Unavailable, match="is damaged"):
        IamStore.open(tmp_path / "one", os.urandom)
    (tmp_path / "one" / MASTER_KEY_NAME).unlink()
    with pytest.raises(Unavailable, match=r"is missing.*restore it"):
        IamStore.open(tmp_path / "one", os.urandom)


def test_names_are_checked_and_taken_once(store: IamStore) -> None:
    store.entities.create_user(ACCOUNT, "Ann", NOW, path="/staff/")
    with pytest.raises(AlreadyExists, match="case does not count"):
        store.entities.create_user(ACCOUNT, "ann", NOW)
    store.entities.create_group(ACCOUNT, "ann", NOW)
    for name in ("", "a b", "a" * 65, "ä", "a/b", "a\n"):
        with pytest.raises(InvalidName):
            store.entities.create_user(ACCOUNT, name, NOW)
    for path in ("", "staff", "/staff", "staff/", "//a//\n/"):
        with pytest.raises(InvalidName):
            store.entities.create_user(ACCOUNT, "new", NOW, path=path)
    assert store.entities.get(ACCOUNT, EntityKind.USER, "ANN").arn == f"arn:aws:iam::{ACCOUNT}:user/staff/Ann"
    with pytest.raises(NotFound):
        store.entities.get(ACCOUNT, EntityKind.ROLE, "ann")
    with pytest.raises(NotFound, match="no account"):
        store.entities.create_user(OTHER_ACCOUNT, "ann", NOW)


def test_deleting_takes_along_what_belongs_to_it(store: IamStore, reader: IamReader) -> None:
    user = store.entities.create_user(ACCOUNT, "ann", NOW)
    key = store.access_keys.create(user, NOW)
    store.policies.put_inline(user, "own", POLICY)
    store.policies.attach(user, ADMINISTRATOR_ACCESS.arn)
    store.entities.set_tags(user, [("team", "red")])
    store.entities.delete(user)
    with pytest.raises(NotFound):
        store.access_keys.reveal(key.id)
    with pytest.raises(NotFound):
        store.entities.delete(user)
    # A later user of the same name inherits nothing.
    again = store.entities.create_user(ACCOUNT, "ann", NOW)
    assert again.id != user.id
    assert store.policies.list_attached(again) == []
    assert store.policies.list_inline(again) == {}
    assert store.entities.list_tags(again) == {}
    entity = reader.read_entity(again.arn)
    assert entity is not None
    assert entity.policies == ()


def test_the_built_in_administrator_stays(store: IamStore) -> None:
    administrator = store.entities.get(ACCOUNT, EntityKind.USER, "administrator")
    with pytest.raises(NotPossible):
        store.entities.delete(administrator)
    store.access_keys.delete(store.administrator_key().id)
    with pytest.raises(NotFound, match="borealis iam access-key create --user administrator"):
        store.administrator_key()
    made = store.access_keys.create(administrator, NOW)
    assert store.administrator_key() == made


def test_access_keys_are_for_users_and_roots_and_not_too_many(store: IamStore) -> None:
    user = store.entities.create_user(ACCOUNT, "ann", NOW)
    keys = [store.access_keys.create(user, at(number)) for number in range(ACCESS_KEYS_MAX)]
    assert [key.id for key in store.access_keys.list_of(user)] == [key.id for key in keys]
    with pytest.raises(NotPossible, match="delete one first"):
        store.access_keys.create(user, NOW)
    group = store.entities.create_group(ACCOUNT, "all", NOW)
    with pytest.raises(NotPossible):
        store.access_keys.create(group, NOW)
    root = store.entities.create_root(ACCOUNT, NOW)
    assert store.entities.create_root(ACCOUNT, at(1)) == root
    assert store.access_keys.reveal(store.access_keys.create(root, NOW).id).entity_arn == root.arn


def test_policies_are_stored_only_if_they_parse(store: IamStore) -> None:
    user = store.entities.create_user(ACCOUNT, "ann", NOW)
    policy = store.policies.create(ACCOUNT, "Connect", POLICY, NOW)
    for attempt in (
        lambda: store.policies.create(ACCOUNT, "Broken", "{", NOW),
        lambda: store.policies.set_document(policy.arn, "{}", NOW),
        lambda: store.policies.put_inline(user, "own", "[]"),
        lambda: store.entities.create_role(ACCOUNT, "app", POLICY, NOW),
    ):
        with pytest.raises(MalformedPolicy):
            attempt()
    assert store.policies.get(policy.arn).document == POLICY
    assert store.policies.list_inline(user) == {}
    with pytest.raises(AlreadyExists):
        store.policies.create(ACCOUNT, "connect", POLICY, NOW)


def test_a_policy_in_use_is_not_deleted(store: IamStore) -> None:
    user = store.entities.create_user(ACCOUNT, "ann", NOW)
    policy = store.policies.create(ACCOUNT, "Connect", POLICY, NOW)
    store.policies.attach(user, policy.arn)
    with pytest.raises(NotPossible, match=f"detach it first from {user.arn}"):
        store.policies.delete(policy.arn)
    store.policies.detach(user, policy.arn)
    with pytest.raises(NotFound):
        store.policies.detach(user, policy.arn)
    store.entities.set_boundary(user, policy.arn)
    with pytest.raises(NotPossible):
        store.policies.delete(policy.arn)
    store.entities.set_boundary(user, None)
    store.policies.delete(policy.arn)
    with pytest.raises(NotPossible, match="comes with the product"):
        store.policies.delete(ADMINISTRATOR_ACCESS.arn)
    with pytest.raises(NotFound):
        store.policies.attach(user, policy.arn)


def test_policies_are_found_by_name_and_arn(store: IamStore) -> None:
    assert store.policies.find(ACCOUNT, "administratoraccess").arn == ADMINISTRATOR_ACCESS.arn
    own = store.policies.create(ACCOUNT, "AdministratorAccess", POLICY, NOW)
    assert store.policies.find(ACCOUNT, "AdministratorAccess").arn == own.arn
    assert store.policies.find(ACCOUNT, ADMINISTRATOR_ACCESS.arn).arn == ADMINISTRATOR_ACCESS.arn
    store.entities.create_account(OTHER_ACCOUNT, NOW)
    foreign = store.policies.create(OTHER_ACCOUNT, "Theirs", POLICY, NOW)
    user = store.entities.create_user(ACCOUNT, "ann", NOW)
    with pytest.raises(NotPossible, match="of another account"):
        store.policies.attach(user, foreign.arn)


def test_groups_share_their_policies(store: IamStore, reader: IamReader) -> None:
    user = store.entities.create_user(ACCOUNT, "ann", NOW)
    group = store.entities.create_group(ACCOUNT, "staff", NOW)
    store.policies.attach(group, ADMINISTRATOR_ACCESS.arn)
    store.policies.put_inline(group, "more", POLICY)

    def count() -> int:
        entity = reader.read_entity(user.arn)
        assert entity is not None
        return len(entity.policies)

    assert count() == 0
    store.entities.add_member(group, user)
    assert [member.name for member in store.entities.list_members(group)] == ["ann"]
    assert [found.name for found in store.entities.list_groups_of(user)] == ["staff"]
    assert count() == 2
    store.entities.remove_member(group, user)
    assert count() == 0
