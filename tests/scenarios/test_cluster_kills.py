"""Clusters that come and go over the API while its service and the whole host are killed: none is left half made, none
comes back, and those that are left can be used."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from borealis.host.layout import open_layout
from borealis.placement.host_client import HostClient
from tests.cluster import Cluster, StartCluster
from tests.compatibility.front_door import Endpoint, FrontDoor
from tests.integration.waiting import wait_until

pytestmark = pytest.mark.timeout(600)


def list_hosted(cluster: Cluster) -> set[str]:
    async def ask() -> set[str]:
        client = HostClient(open_layout(cluster.data).host_socket)
        found = {hosted.cluster for hosted in await client.list()}
        await client.close()
        return found

    return asyncio.run(ask())


def list_known(api: Any) -> dict[str, str]:
    """Of each cluster that the API knows, its status."""
    pages = api.get_paginator("list_clusters").paginate()
    identifiers = [cluster["identifier"] for page in pages for cluster in page["clusters"]]
    return {identifier: api.get_cluster(identifier=identifier)["status"] for identifier in identifiers}


def is_settled(api: Any) -> bool:
    try:
        return not {"CREATING", "DELETING", "UPDATING"} & {*list_known(api).values()}
    except api.exceptions.ResourceNotFoundException:  # gone between the list and the look
        return False


@pytest.mark.parametrize("spares", ["0", "1"])
def test_kills_of_service_and_host_leave_no_half_cluster(start_cluster: StartCluster, spares: str) -> None:
    cluster = start_cluster(instances=1, options=("--spares", spares))
    door = FrontDoor(cluster)
    made: dict[str, Endpoint] = {}
    deleted: set[str] = set()
    for victim in ("control", "host", "control", "host"):
        api = door.api()
        created = api.create_cluster(deletionProtectionEnabled=False)
        made[created["identifier"]] = Endpoint(created["identifier"], created["endpoint"])
        oldest = next(identifier for identifier in made if identifier not in deleted)
        if len(made) % 2 == 0:
            api.delete_cluster(identifier=oldest)
            deleted.add(oldest)
        # What was answered a moment ago is on its way now.
        if victim == "control":
            cluster.kill("control")
        else:
            cluster.kill_host()
            cluster.start()
    api = door.api()
    wait_until(lambda: is_settled(api), "no cluster is on its way")
    known = list_known(api)
    assert {*known} == {door.first.identifier, *made} - deleted
    assert "FAILED" not in known.values()
    assert list_hosted(cluster) == {*known}
    for endpoint in [made[identifier] for identifier in known if identifier in made]:
        with door.connect(endpoint) as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)
