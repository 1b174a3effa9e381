import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from borealis.clusters.cluster import Cluster, ClusterStatus, EncryptionStatus, EncryptionType, Installation
from borealis.clusters.names import parse_identifier
from borealis.clusters.store import TOKEN_AGE_NS_MAX, AnsweredRequest, ClusterStore, ListPosition
from borealis.clusters.view import ClusterView
from borealis.foundation.errors import InvariantViolation, Unavailable
from borealis.foundation.identifiers import Timestamp

INSTALLATION = Installation("000000000000", "us-east-1", "localhost")
ACCOUNT = INSTALLATION.account


def cluster(name: str, created: int = 1) -> Cluster:
    return Cluster(
        identifier=parse_identifier(name * 26),
        account=ACCOUNT,
        region="us-east-1",
        domain="localhost",
        status=ClusterStatus.CREATING,
        creation_time=Timestamp(created),
        deletion_protection=True,
        tags={"Name": "first", "é": ""},
        policy='{"Statement": []}',
        policy_version=1,
        kms_key="arn:aws:kms:us-east-1:000000000000:key/1",
        metric_groups=("STATEMENT_STATISTICS",),
    )


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "clusters.sqlite"


@pytest.fixture
def store(path: Path) -> Iterator[ClusterStore]:
    opened = ClusterStore(path, INSTALLATION)
    yield opened
    opened.close()


@pytest.fixture
def view(path: Path) -> Iterator[ClusterView]:
    opened = ClusterView(path)
    yield opened
    opened.close()


def add(store: ClusterStore, *clusters: Cluster) -> None:
    with store.transaction():
        for one in clusters:
            store.add(one)


def test_a_cluster_comes_back_with_everything(store: ClusterStore, path: Path) -> None:
    added = cluster("a")
    add(store, added)
    assert store.get(added.identifier) == added
    store.close()
    reopened = ClusterStore(path, replace(INSTALLATION, domain="db.example.com"))
    assert reopened.get(added.identifier) == replace(added, domain="db.example.com")
    reopened.close()


def test_names_follow_from_the_identifier() -> None:
    one = cluster("a")
    assert str(one.arn) == f"arn:aws:dsql:us-east-1:000000000000:cluster/{'a' * 26}"
    assert str(one.endpoint) == f"{'a' * 26}.dsql.us-east-1.localhost"
    assert one.encryption_type is EncryptionType.CUSTOMER_MANAGED
    assert one.encryption_status is EncryptionStatus.ENABLING
    assert not one.is_connectable
    assert replace(one, status=ClusterStatus.UPDATING).is_connectable


def test_changes_are_kept(store: ClusterStore) -> None:
    one = cluster("a")
    add(store, one)
    with store.transaction():
        store.set_status(one.identifier, ClusterStatus.FAILED, "no room")
        store.set_deletion_protection(one.identifier, False)
        store.set_kms_key(one.identifier, None)
        store.set_metric_groups(one.identifier, ())
        store.set_policy(one.identifier, None, 2)
        store.put_tags(one.identifier, {"Name": "second", "more": "1"})
        store.remove_tags(one.identifier, ["é", "unknown"])
    found = store.get(one.identifier)
    assert found == replace(
        one,
        status=ClusterStatus.FAILED,
        status_reason="no room",
        deletion_protection=False,
        kms_key=None,
        metric_groups=(),
        policy=None,
        policy_version=2,
        tags={"Name": "second", "more": "1"},
    )
    with store.transaction():
        store.remove(one.identifier)
    assert store.get(one.identifier) is None
    assert store.count(ACCOUNT) == 0
    with pytest.raises(InvariantViolation), store.transaction():
        store.set_status(one.identifier, ClusterStatus.ACTIVE)


def test_an_identifier_is_given_once(store: ClusterStore) -> None:
    add(store, cluster("a"))
    with pytest.raises(sqlite3.IntegrityError):
        add(store, cluster("b"), cluster("a"))
    assert store.count(ACCOUNT) == 1


def test_pages_go_on_where_they_ended_whatever_happens_between(store: ClusterStore) -> None:
    clusters = [cluster(name, created) for name, created in (("c", 1), ("a", 2), ("b", 2), ("d", 3))]
    add(store, *reversed(clusters), replace(cluster("e"), account="111111111111"))
    first = store.page(ACCOUNT, None, 2)
    assert first == clusters[:2]
    position = ListPosition(first[-1].creation_time, first[-1].identifier)
    with store.transaction():
        store.remove(first[-1].identifier)
    assert store.page(ACCOUNT, position, 2) == clusters[2:]
    assert store.page("222222222222", None, 2) == []
    assert store.count(ACCOUNT) == 3


def test_what_is_unsettled_is_found(store: ClusterStore) -> None:
    statuses = (ClusterStatus.ACTIVE, ClusterStatus.DELETING, ClusterStatus.FAILED, ClusterStatus.UPDATING)
    add(store, *(replace(cluster(name), status=status) for name, status in zip("abcd", statuses, strict=True)))
    assert [one.status for one in store.unsettled()] == [ClusterStatus.DELETING, ClusterStatus.UPDATING]


def test_answers_are_remembered_for_a_day(store: ClusterStore) -> None:
    asked = AnsweredRequest(ACCOUNT, "CreateCluster", "token", bytes(32), "{}", Timestamp(10))
    with store.transaction():
        store.record_answer(asked)
    last = Timestamp(10 + TOKEN_AGE_NS_MAX)
    assert store.find_answer(ACCOUNT, "CreateCluster", "token", Timestamp(last - 1)) == asked
    assert store.find_answer(ACCOUNT, "CreateCluster", "token", last) is None
    assert store.find_answer(ACCOUNT, "UpdateCluster", "token", Timestamp(10)) is None
    assert store.find_answer("111111111111", "CreateCluster", "token", Timestamp(10)) is None
    later = replace(asked, parameters=bytes([1] * 32), time=last)
    with store.transaction():
        store.record_answer(later)
    assert store.find_answer(ACCOUNT, "CreateCluster", "token", last) == later


def test_a_view_waits_for_the_file_and_then_sees_every_commit(path: Path, view: ClusterView) -> None:
    one = cluster("a")
    with pytest.raises(Unavailable):
        view.get(one.identifier)
    store = ClusterStore(path, INSTALLATION)
    assert view.installation() == INSTALLATION
    assert view.get(one.identifier) is None
    add(store, one)
    assert view.get(one.identifier) == one
    assert view.get(one.identifier) is view.get(one.identifier)
    with store.transaction():
        store.put_tags(one.identifier, {"Name": "changed"})
        assert view.get(one.identifier) == one
    changed = view.get(one.identifier)
    assert changed is not None
    assert changed.tags["Name"] == "changed"
    add(store, cluster("b", 2))
    assert [found.identifier[0] for found in view.every()] == ["a", "b"]
    with store.transaction():
        store.remove(one.identifier)
    assert view.get(one.identifier) is None
    store.close()


def test_a_killed_writer_leaves_whole_transactions(path: Path) -> None:
    program = f"""
import itertools, sys
from dataclasses import replace
from pathlib import Path
from borealis.clusters.names import make_identifier
from tests.unit.clusters.test_store import INSTALLATION, cluster
from borealis.clusters.store import AnsweredRequest, ClusterStore
store = ClusterStore(Path({str(path)!r}), INSTALLATION)
for number in itertools.count(1):
    one = replace(cluster("a", number), identifier=make_identifier())
    with store.transaction():
        store.add(one)
        store.record_answer(AnsweredRequest(one.account, "C", one.identifier, bytes(32), one.identifier, number))
    print(one.identifier, flush=True)
"""
    acknowledged = []
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            acknowledged.append(parse_identifier(line.strip()))
            if len(acknowledged) == 100:
                os.kill(process.pid, signal.SIGKILL)
    store = ClusterStore(path, INSTALLATION)
    assert len(acknowledged) >= 100
    for identifier in acknowledged:
        found = store.get(identifier)
        assert found is not None
        assert len(found.tags) == 2
        assert store.find_answer(ACCOUNT, "C", identifier, Timestamp(0)) is not None
    assert store.count(ACCOUNT) - len(acknowledged) in (0, 1)
    store.close()
