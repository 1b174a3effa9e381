"""Nothing is half done, whatever is killed and whenever: what was answered is kept and carried out."""

import random
import threading
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from borealis.clusters.cluster import ClusterStatus, Installation
from borealis.clusters.names import parse_identifier
from borealis.clusters.store import ClusterStore
from tests.integration.control.clusters import make_cluster, refusal, unique, wait_active, wait_gone, wait_status
from tests.integration.control.conftest import MakeControl
from tests.integration.control.running_control import ACCOUNT, REGION, RunningControl

INSTALLATION = Installation(ACCOUNT, REGION, "localhost")


def restart(control: RunningControl) -> Any:
    control.control.kill()
    control.start_control()
    return control.client()


def test_what_was_answered_survives(make_control: MakeControl) -> None:
    control = make_control()
    control.start()
    client = control.client()
    token = unique()
    identifier = make_cluster(client, tags={"a": "b"}, clientToken=token)
    client.update_cluster(identifier=identifier, metricGroups=[{"metricGroup": "STATEMENT_STATISTICS"}])
    client = restart(control)
    wait_active(client, identifier)
    found = client.get_cluster(identifier=identifier)
    assert found["tags"] == {"a": "b"}
    assert found["metricGroups"] == [{"metricGroup": "STATEMENT_STATISTICS"}]
    again = client.create_cluster(tags={"a": "b"}, deletionProtectionEnabled=False, clientToken=token)
    assert again["identifier"] == identifier


def test_a_creation_goes_on_after_a_kill_before_the_host_heard_of_it(make_control: MakeControl) -> None:
    control = make_control()
    control.start()
    control.tell_host("hold")
    client = control.client()
    identifier = client.create_cluster()["identifier"]
    client = restart(control)
    assert client.get_cluster(identifier=identifier)["status"] == "CREATING"
    assert control.hosted == set()
    control.ask_host_no_more("hold")
    wait_active(client, identifier)
    assert control.hosted == {identifier}


def test_a_creation_goes_on_after_a_kill_when_the_host_had_made_the_cluster(make_control: MakeControl) -> None:
    control = make_control()
    control.start()
    client = control.client()
    identifier = make_cluster(client)
    control.control.kill()
    set_status(control, identifier, ClusterStatus.CREATING)
    control.start_control()
    wait_active(control.client(), identifier)
    assert control.hosted == {identifier}
    assert control.orders == [f"create {identifier}", f"start {identifier}"]


def test_a_deletion_goes_on_after_a_kill(make_control: MakeControl) -> None:
    control = make_control()
    control.start()
    client = control.client()
    first, second = make_cluster(client), make_cluster(client)
    control.tell_host("hold")
    client.delete_cluster(identifier=first)
    # The host had removed the second one, and the service died before it heard so.
    control.control.kill()
    set_status(control, second, ClusterStatus.DELETING)
    (control.peer / "clusters" / second).rmdir()
    control.start_control()
    client = control.client()
    assert client.get_cluster(identifier=first)["status"] == "DELETING"
    control.ask_host_no_more("hold")
    wait_gone(client, first)
    wait_gone(client, second)
    assert control.hosted == set()


def test_a_cluster_may_be_deleted_while_it_is_created(make_control: MakeControl) -> None:
    control = make_control()
    control.start()
    control.tell_host("hold")
    client = control.client()
    identifier = client.create_cluster(deletionProtectionEnabled=False)["identifier"]
    refusal("ConflictException", client.update_cluster, identifier=identifier, deletionProtectionEnabled=True)
    assert client.delete_cluster(identifier=identifier)["status"] == "DELETING"
    control.ask_host_no_more("hold")
    wait_gone(client, identifier)
    assert control.hosted == set()
    assert control.orders[-1] == f"delete {identifier}"


def test_a_host_that_is_away_is_waited_for(make_control: MakeControl) -> None:
    control = make_control()
    control.start()
    client = control.client()
    before = make_cluster(client)
    control.host.kill()
    identifier = client.create_cluster(deletionProtectionEnabled=False)["identifier"]
    assert client.get_cluster(identifier=identifier)["status"] == "CREATING"
    assert client.get_cluster(identifier=before)["status"] == "ACTIVE"
    control.host.start()
    wait_active(client, identifier)
    control.host.kill()
    client.delete_cluster(identifier=identifier)
    control.host.start()
    wait_gone(client, identifier)
    assert control.hosted == {before}


def test_a_cluster_that_the_host_cannot_make_fails_and_can_be_deleted(make_control: MakeControl) -> None:
    control = make_control()
    control.start()
    control.tell_host("refuse", "no", "room")
    client = control.client()
    identifier = client.create_cluster()["identifier"]
    wait_status(client, identifier, "FAILED")
    assert client.update_cluster(identifier=identifier, deletionProtectionEnabled=False)["status"] == "FAILED"
    client.delete_cluster(identifier=identifier)
    wait_gone(client, identifier)


def test_a_cluster_whose_files_are_gone_is_shown_as_failed(make_control: MakeControl) -> None:
    control = make_control()
    control.start()
    client = control.client()
    identifier = make_cluster(client)
    (control.peer / "clusters" / identifier).rmdir()
    restart(control)
    assert control.client().get_cluster(identifier=identifier)["status"] == "FAILED"


def test_an_orderly_stop_answers_what_was_asked(make_control: MakeControl) -> None:
    control = make_control()
    control.start()
    identifier = make_cluster(control.client())
    assert control.control.stop() == 0
    control.start_control()
    assert control.client().get_cluster(identifier=identifier)["status"] == "ACTIVE"


def test_kills_at_any_moment_leave_no_half_cluster(make_control: MakeControl) -> None:
    """Clients create and delete while service and host are killed again and again. In the end every answer that was
    given is true, and host and metadata know the same clusters."""
    control = make_control("--clusters-max", "1000", "--calls-per-second", "1000", "--calls-burst", "1000")
    control.start()
    stop = threading.Event()
    created: set[str] = set()
    # Asked for, with an answer or without; and answered.
    doomed: set[str] = set()
    deleted: set[str] = set()
    dice = random.Random(1)

    def work() -> None:
        while not stop.is_set():
            client = control.client()
            try:
                identifier = client.create_cluster(deletionProtectionEnabled=False)["identifier"]
                created.add(identifier)
                if len(created) % 2:
                    doomed.add(identifier)
                    client.delete_cluster(identifier=identifier)
                    deleted.add(identifier)
            except (BotoCoreError, ClientError):
                continue

    workers = [threading.Thread(target=work) for _ in range(3)]
    for worker in workers:
        worker.start()
    for _ in range(6):
        enough = len(created) + dice.randint(1, 6)
        while len(created) < enough:
            stop.wait(0.001)
        victim = dice.choice(("control", "host"))
        (control.control if victim == "control" else control.host).kill()
        if victim == "control":
            control.start_control()
        else:
            control.host.start()
    stop.set()
    for worker in workers:
        worker.join()
    client = control.client()
    pages = client.get_paginator("list_clusters").paginate()
    for identifier in [cluster["identifier"] for page in pages for cluster in page["clusters"]]:
        if client.get_cluster(identifier=identifier)["status"] == "DELETING":
            wait_gone(client, identifier)
        else:
            wait_active(client, identifier)
    pages = client.get_paginator("list_clusters").paginate()
    listed = {cluster["identifier"] for page in pages for cluster in page["clusters"]}
    assert listed == control.hosted
    assert created - doomed <= listed
    assert not deleted & listed


def set_status(control: RunningControl, identifier: str, status: ClusterStatus) -> None:
    """As if the service had been killed in this status."""
    store = ClusterStore(control.data / "control" / "clusters.sqlite", INSTALLATION)
    with store.transaction():
        store.set_status(parse_identifier(identifier), status)
    store.close()
