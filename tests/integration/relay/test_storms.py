"""Crowds of clients, honest ones and others, at a relay of a test's own; a session that runs must not notice."""

from __future__ import annotations

import resource
import socket
import ssl
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import psycopg
import pytest

from tests.integration.relay.world import RelayWorld, error_response, packet, read_to_end, told
from tests.integration.waiting import wait_until

MEBIBYTE = 2**20
TLS_REQUEST = bytes.fromhex("00000008 04d2162f")
STARTUP = packet("user", "admin", "database", "postgres")
PASSWORD_REQUEST = b"R\0\0\0\x08\0\0\0\x03"
TOO_MANY_PENDING = error_response(
    "53300",
    "Unable to accept connection, too many open connections.",
    hint="Too many connections are being opened at the same time.",
)


@contextmanager
def opened(*options: str) -> Iterator[RelayWorld]:
    world = RelayWorld(clusters=1, options=options)
    try:
        yield world
    finally:
        world.close()


@pytest.fixture(autouse=True)
def _descriptors() -> Iterator[None]:
    """Crowds need more of them than a shell gives."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_two_thousand_clients_at_once_all_get_in() -> None:
    with opened() as world, world.crowd() as crowd:
        crowd.connect(2_000)
        assert len(crowd) == 2_000
        world.front.tell("sessions")
        assert world.front.wait_for("sessions") == "sessions 2000"
        wait_until(lambda: world.descriptors() < 100, "the relay has let go of the sessions")
        crowd.drop()
        crowd.connect(2_000)
        assert len(crowd) == 2_000


def test_thousands_that_stop_halfway_are_bounded_and_hurt_nobody() -> None:
    """3,000 that say nothing, half a length, or half a handshake: a session runs on, others get in, and the relay's
    memory and descriptors stay within bounds, during and after."""
    with opened("--first-byte-seconds", "3", "--login-seconds", "3") as world, world.connect() as running:
        bytes_before = world.resident_bytes()
        hello = client_hello(world)
        with ExitStack() as stack:
            for number in range(3_000):
                client = stack.enter_context(world.raw())
                client.sendall([b"", b"\0\0", TLS_REQUEST, TLS_REQUEST][number % 4])
                if number % 4 == 3:
                    assert client.recv(1) == b"S"
                    client.sendall(hello[: len(hello) // 2])
                if number % 100 == 0:
                    assert told(running)["user"] == "admin"
            with world.connect() as another:
                assert told(another)["user"] == "admin"
            assert world.resident_bytes() - bytes_before < 150 * MEBIBYTE
            wait_until(lambda: world.descriptors() < 100, "those that stopped halfway have had their time")
            assert told(running)["user"] == "admin"


def test_slow_clients_do_not_get_more_time() -> None:
    """A byte now and then does not put off the end."""
    with opened("--login-seconds", "2") as world, world.raw() as client:
        client.sendall(TLS_REQUEST)
        assert client.recv(1) == b"S"
        client.settimeout(0.05)
        sent = 0
        for byte in client_hello(world):
            try:
                client.sendall(bytes([byte]))
                sent += 1
                if client.recv(100) == b"":
                    break
            except TimeoutError:
                continue
            except OSError:
                break
        else:
            pytest.fail("the client was never cut off")
        assert sent > 1


def test_a_client_that_waits_with_its_password_is_told() -> None:
    with opened("--login-seconds", "1") as world, world.tls() as client:
        client.sendall(STARTUP)
        answer = read_to_end(client)
    assert answer.startswith(PASSWORD_REQUEST + b"E")
    assert b"C57014\0Mcanceling authentication due to timeout\0" in answer


def test_one_address_cannot_take_every_place() -> None:
    with opened("--pending-per-address-max", "50") as world, ExitStack() as stack:
        silent = [stack.enter_context(world.raw()) for _ in range(50)]
        turned_away = stack.enter_context(world.raw())
        turned_away.sendall(TLS_REQUEST)
        assert read_to_end(turned_away) == TOO_MANY_PENDING
        elsewhere = stack.enter_context(socket.create_connection(("127.0.0.1", world.port), 30, ("127.0.0.2", 0)))
        elsewhere.sendall(TLS_REQUEST)
        assert elsewhere.recv(1) == b"S"
        wait_until(lambda: is_welcome(world), "the oldest of them has had its time, and makes way")
        assert read_to_end(silent[0]) == TOO_MANY_PENDING


def is_welcome(world: RelayWorld) -> bool:
    with world.raw() as client:
        try:
            client.sendall(TLS_REQUEST)
            return client.recv(1) == b"S"
        except OSError:
            return False


def test_when_all_places_are_taken_the_oldest_makes_way() -> None:
    """A hundred that say nothing hold every place; those that come later wait a little, and get in."""
    with opened("--pending-max", "100") as world, ExitStack() as stack:
        silent = [stack.enter_context(world.raw()) for _ in range(150)]
        with world.connect() as connection:
            assert told(connection)["user"] == "admin"
        assert read_to_end(silent[0]) == TOO_MANY_PENDING


def test_whoever_waits_for_its_password_hears_why_it_makes_way() -> None:
    with opened("--pending-max", "1") as world, world.tls() as client:
        client.sendall(STARTUP)
        with world.connect() as connection:
            assert told(connection)["user"] == "admin"
        assert read_to_end(client) == PASSWORD_REQUEST + TOO_MANY_PENDING
        assert world.audit()[0]["status"] == "53300"


def test_descriptors_run_out_without_harm() -> None:
    """More clients than the relay may have descriptors: accepting pauses, and goes on when there is room."""
    limit = 300

    def lower() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))

    with opened() as world:
        assert world.relay.stop() == 0
        world.relay = world.start_relay("--first-byte-seconds", "2", before=lower)
        with ExitStack() as stack:
            for _ in range(100):
                stack.enter_context(world.raw())
            with world.connect() as connection:
                assert told(connection)["user"] == "admin"
        assert world.relay.process.poll() is None


def test_the_rate_of_each_cluster_is_limited() -> None:
    with opened("--rate", "1", "--burst", "3") as world:
        token = world.token()
        for _ in range(3):
            world.connect(password=token).close()
        error = str(world.refusal(password=token))
        assert "FATAL:  Unable to accept connection, rate exceeded." in error
        assert world.audit()[-1]["status"] == "53400"
        # Whoever has no token takes nothing from those who have.
        wait_until(lambda: is_let_in(world, token), "the bucket has a token again")
        for _ in range(5):
            assert "access denied" in str(world.refusal(password="x"))


def is_let_in(world: RelayWorld, token: str) -> bool:
    try:
        world.connect(password=token).close()
    except psycopg.OperationalError as error:
        if "rate exceeded" not in str(error):
            raise
        return False
    return True


def client_hello(world: RelayWorld) -> bytes:
    context = ssl.create_default_context()
    outgoing = ssl.MemoryBIO()
    client = context.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname=str(world.cluster.endpoint))
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    return outgoing.read()


def test_several_relays_share_a_port() -> None:
    with opened() as world:
        second = world.start_relay("--port", str(world.port), "--audit-name", "relay-2")
        try:
            token = world.token()
            for _ in range(20):  # the kernel deals them out
                with world.connect(password=token) as connection:
                    assert told(connection)["user"] == "admin"
            assert (world.data / "log" / "audit" / "relay-2.jsonl").read_bytes()
        finally:
            assert second.stop() == 0


def test_a_relay_that_stops_tells_those_who_are_not_in_yet() -> None:
    farewell = error_response("57P03", "the database system is shutting down")
    with opened("--hold-seconds", "600") as world, world.raw() as silent, world.tls() as asked, world.tls() as held:
        world.front.tell("stall")
        world.front.wait_for("sessions")
        for client in (asked, held):
            client.sendall(STARTUP)
            assert client.recv(9) == PASSWORD_REQUEST
        token = world.token().encode() + b"\0"
        held.sendall(b"p" + (len(token) + 4).to_bytes(4, "big") + token)
        world.front.wait_for("asked")
        assert world.relay.stop() == 0
        assert [read_to_end(client) for client in (silent, asked, held)] == [farewell] * 3


def test_a_relay_that_stops_leaves_its_sessions_alone() -> None:
    with opened() as world, world.connect() as connection:
        assert world.relay.stop() == 0
        assert told(connection)["user"] == "admin"
        world.relay = world.start_relay()
        with world.connect() as another:
            assert told(another)["user"] == "admin"
