"""Whatever arrives, from clients or at the door, hurts nobody else and is answered as well as it can be."""

from __future__ import annotations

import array
import os
import random
import socket
import ssl
import struct
from ipaddress import IPv4Address

import pytest

from borealis.foundation.identifiers import Timestamp
from borealis.wire.frames import encode_frame
from borealis.wire.handover import Action, CancelRequest, HandOver, HandOverFrame, encode_cancel, encode_hand_over
from tests.integration.front.entrance import CLUSTER, PRINCIPAL, receive_answer
from tests.integration.front.raw_client import RawClient
from tests.integration.front.running_front import FRONT_ID, RunningFront

HAND_OVER = HandOver(
    cluster=CLUSTER,
    server_name="",
    database="postgres",
    user="admin",
    startup_parameters=(),
    protocol_version=3 << 16,
    principal=PRINCIPAL,
    action=Action.DB_CONNECT_ADMIN,
    client_address=IPv4Address("127.0.0.1"),
    client_port=1,
    deadline=Timestamp(2**62),
    is_direct_tls=False,
    has_alpn=False,
)


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"\0" * 100, b"invalid frontend message type 0"),
        (b"GET / HTTP/1.0\r\n\r\n", b"invalid frontend message type 71"),
        (b"Q\0\0\0\0", b"invalid message length"),
        (b"Q\xff\xff\xff\xff", b"invalid message length"),
        (b"S\0\0\x80\0", b"invalid message length"),
        (b"B" + struct.pack(">I", 12) + b"xxxxxxxx", b"invalid string in message"),
        (b"P" + struct.pack(">I", 12) + b"xxxxxxxx", b"invalid string in message"),
        (b"B" + struct.pack(">I", 2**20) + b"x" * 2**20, b"invalid string in message"),
    ],
)
def test_what_is_no_message_is_refused_with_a_reason(front: RunningFront, data: bytes, text: bytes) -> None:
    with RawClient(front.entrance.port) as client:
        client.send(data)
        ((kind, body),) = client.read_to_end()
    assert kind == b"E"
    assert b"VFATAL\0" in body
    assert b"C08P01\0" in body
    assert text in body
    with front.connect() as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_random_messages(front: RunningFront) -> None:
    """Of valid types, with random bodies: Postgres or the front answers, and other sessions live."""
    dice = random.Random(1)
    with front.connect() as witness:
        for _ in range(40):
            client = RawClient(front.entrance.port)
            for _ in range(dice.randrange(1, 8)):
                body = dice.randbytes(dice.randrange(40)) + b"\0" * dice.randrange(8)
                client.send(
                    dice.choice([b"P", b"B", b"D", b"E", b"C", b"F", b"H", b"d", b"c", b"f", b"S", b"Q"])
                    + struct.pack(">I", 4 + len(body))
                    + body
                )
            client.send(b"X\0\0\0\4")
            client.read_to_end()
            client.close()
            assert witness.execute("SELECT 1").fetchone() == (1,)


def test_a_broken_record_ends_the_session_alone(front: RunningFront) -> None:
    with RawClient(front.entrance.port) as client, socket.socket(fileno=os.dup(client.socket.fileno())) as below:
        below.sendall(b"\x17\x03\x03\x00\x20" + bytes(32))
        with pytest.raises((ssl.SSLError, ConnectionError)):
            client.read_message()
    with front.connect() as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


def connect(front: RunningFront) -> socket.socket:
    door = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    door.settimeout(30)
    door.connect(str(front.socket))
    return door


def take_frame(**changes: object) -> bytes:
    sealed = encode_hand_over(HandOver(**{**_fields(), **changes}), 64)  # type: ignore[arg-type]
    return bytes(sealed.frame)


def _fields() -> dict[str, object]:
    return {name: getattr(HAND_OVER, name) for name in HandOver.__dataclass_fields__}


def test_a_hand_over_without_a_socket_is_refused(front: RunningFront) -> None:
    with connect(front) as door:
        door.sendall(take_frame())
        refusal = receive_answer(door)
        assert refusal is not None
        assert refusal.sqlstate == "08P01"


def test_a_hand_over_of_another_cluster_is_refused_and_the_next_is_not(front: RunningFront) -> None:
    ours, theirs = socket.socketpair()
    with connect(front) as door, ours, theirs:
        for cluster, sqlstate in (("z" * 26, "08006"), (CLUSTER, "XX000")):
            rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [theirs.fileno()]))
            door.sendmsg([take_frame(cluster=cluster)], [rights])
            refusal = receive_answer(door)
            assert refusal is not None
            assert refusal.sqlstate == sqlstate  # keys of zeros are none
    front.expect_problem("the state of a TLS session breaks a rule")


def test_a_hand_over_in_small_pieces(front: RunningFront) -> None:
    ours, theirs = socket.socketpair()
    with connect(front) as door, ours, theirs:
        frame = take_frame(database="other")
        rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [theirs.fileno()]))
        door.sendmsg([frame[:1]], [rights])
        for at in range(1, len(frame)):
            door.send(frame[at : at + 1])
        refusal = receive_answer(door)
        assert refusal is not None
        assert refusal.sqlstate == "3D000"


@pytest.mark.parametrize(
    "data",
    [
        b"\0" * 64,
        encode_frame(99, 0, b"x"),
        encode_frame(HandOverFrame.TAKE, 0, b"x" * 100),
        encode_frame(HandOverFrame.TAKE, 0, b"x" * 200_000),
        encode_frame(HandOverFrame.CANCEL, 0, b"x"),
        encode_frame(HandOverFrame.TAKE, 7, b"x" * 100),
    ],
)
def test_a_relay_that_talks_nonsense_is_cut_off(front: RunningFront, data: bytes) -> None:
    with connect(front) as door:
        try:
            door.sendall(data)
            assert door.recv(100) == b""
        except (ConnectionResetError, BrokenPipeError):
            pass
    front.expect_problem("a relay sent a bad request")
    with front.connect() as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_file_descriptors_do_not_pile_up(front: RunningFront) -> None:
    """Of refused, broken and abandoned hand-overs."""
    descriptors = f"/proc/{front.process_id}/fd"
    front.connect().close()
    front.wait_said("sessions 0")
    before = len(os.listdir(descriptors))
    for frame in (take_frame(cluster="z" * 26), take_frame()[:50], encode_frame(HandOverFrame.CANCEL, 0, bytes(8))):
        for _ in range(20):
            ours, theirs = socket.socketpair()
            rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [theirs.fileno()] * 2))
            with connect(front) as door, ours, theirs:
                door.sendmsg([frame], [rights])
                door.shutdown(socket.SHUT_WR)
                door.recv(1000)
    with front.connect() as connection:
        connection.execute("SELECT 1")
        assert len(os.listdir(descriptors)) <= before + 2


def test_a_cancel_with_a_wrong_secret_does_nothing(front: RunningFront) -> None:
    with front.connect() as connection, connect(front) as door:
        process_id = connection.info.backend_pid
        assert process_id >> 16 == FRONT_ID
        connection.pgconn.send_query(b"SELECT pg_sleep(0.5)")
        connection.pgconn.flush()
        for secret in (0, 1, 2**32 - 1):
            door.sendall(encode_cancel(CancelRequest(process_id, secret)))
            door.sendall(encode_cancel(CancelRequest(process_id + 1, secret)))
        result = connection.pgconn.get_result()
        assert result is not None
        assert result.ntuples == 1, result.error_message
        assert connection.pgconn.get_result() is None
