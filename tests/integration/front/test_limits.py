"""How many sessions there may be: in a front, and in all fronts of a cluster together."""

from __future__ import annotations

import multiprocessing
import threading
from multiprocessing.connection import Connection as Pipe
from pathlib import Path

import pytest

from borealis.front.messages import message
from borealis.front.places import Places
from tests.integration.front.raw_client import RawClient
from tests.integration.front.running_front import RunningFront, StartFront

TERMINATE = ord("X")
TOO_MANY = b"SFATAL\0VFATAL\0C53300\0MUnable to accept connection, too many open connections.\0\0"


def is_refused(front: RunningFront) -> bool:
    with RawClient(front.entrance.port) as client:
        return client.greeting[0] == (b"E", TOO_MANY)


def leave(client: RawClient) -> None:
    """Returns when the front has forgotten the session."""
    client.send(message(TERMINATE, b""))
    assert client.read_to_end() == []
    client.close()


def test_a_front_may_have_a_limit_of_its_own(start_front: StartFront) -> None:
    front = start_front(sessions_max=2)
    first, second = RawClient(front.entrance.port), RawClient(front.entrance.port)
    assert is_refused(front)
    leave(first)
    with RawClient(front.entrance.port) as third:
        assert third.greeting[-1] == (b"Z", b"I")
    second.close()


def test_the_limit_is_that_of_all_fronts_together(start_front: StartFront) -> None:
    first = start_front(1, cluster_sessions_max=3)
    second = start_front(2, first.places, cluster_sessions_max=3)
    clients = [RawClient(front.entrance.port) for front in (first, second, first)]
    assert is_refused(first)
    assert is_refused(second)
    leave(clients.pop())
    clients.append(RawClient(second.entrance.port))
    assert clients[-1].greeting[-1] == (b"Z", b"I")
    assert is_refused(first)
    # What a front held is free when it is killed, before and after it is back.
    second.kill()
    clients += [RawClient(first.entrance.port) for _ in range(2)]
    assert is_refused(first)
    second.start()
    assert is_refused(second)
    for client in clients:
        client.close()


def test_a_login_that_fails_keeps_no_place(start_front: StartFront) -> None:
    front = start_front(cluster_sessions_max=1)
    for _ in range(3):
        front.entrance.changes = {"database": "other"}
        with RawClient(front.entrance.port) as client:
            assert b"C3D000\0" in client.greeting[0][1]
    front.entrance.changes = {}
    with RawClient(front.entrance.port) as client:
        assert client.greeting[-1] == (b"Z", b"I")


def hold(path: Path, number: int, limit: int, pipe: Pipe) -> None:
    """A front's places: takes as many as it gets when it is told to, then waits to be killed."""
    places = Places(path, number, limit)
    pipe.send(None)
    pipe.recv()
    taken = 0
    while places.take():
        taken += 1
    pipe.send(taken)
    pipe.recv()


def test_many_who_take_places_at_once_get_exactly_the_limit(tmp_path: Path) -> None:
    """And what those had who are killed is there for others."""
    limit, path = 1_000, tmp_path / "places"
    context = multiprocessing.get_context("spawn")
    holders = []
    for number in range(1, 5):
        ours, theirs = context.Pipe()
        process = context.Process(target=hold, args=(path, number, limit, theirs), daemon=True)
        process.start()
        theirs.close()
        ours.recv()
        holders.append((process, ours))
    barrier = threading.Barrier(len(holders))

    def go(pipe: Pipe) -> None:
        barrier.wait()
        pipe.send(None)

    threads = [threading.Thread(target=go, args=(pipe,)) for _, pipe in holders]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    taken = [pipe.recv() for _, pipe in holders]
    assert sum(taken) == limit
    ours = Places(path, 5, limit)
    assert not ours.take()
    process, pipe = holders[0]
    process.kill()
    process.join()
    assert sum(iter(ours.take, False)) == taken[0]
    for process, pipe in holders[1:]:
        process.kill()
        process.join()
        pipe.close()


@pytest.mark.parametrize("number", [1, 127])
def test_a_front_that_begins_again_has_nothing_yet(tmp_path: Path, number: int) -> None:
    context = multiprocessing.get_context("spawn")
    for _ in range(2):
        ours, theirs = context.Pipe()
        process = context.Process(target=hold, args=(tmp_path / "places", number, 3, theirs), daemon=True)
        process.start()
        ours.recv()
        ours.send(None)
        assert ours.recv() == 3
        process.kill()
        process.join()
