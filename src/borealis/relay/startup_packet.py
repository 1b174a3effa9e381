"""The packets that a client sends before it is anybody: requests for encryption, cancel requests, startup packets.

Owns their layout and the rules of PostgreSQL 16 about them (`ProcessStartupPacket` in backend_startup.c), with two
differences: a rule that is broken is always answered, and the option `amzn-cluster-id` is taken out of `options`.
Everything here is hostile. Pure; raises `Refused`.
"""

import re
import struct
from dataclasses import dataclass
from typing import Final

from borealis.foundation.errors import BorealisError
from borealis.relay import refusals
from borealis.relay.refusals import Refusal

LENGTH_BYTES: Final = 4
PACKET_BYTES_MIN: Final = 8
PACKET_BYTES_MAX: Final = 10_000
"""Of one packet with its length, as PostgreSQL has it (MAX_STARTUP_PACKET_LENGTH)."""

CANCEL_CODE: Final = 80_877_102
TLS_CODE: Final = 80_877_103
GSS_CODE: Final = 80_877_104
_CANCEL: Final = struct.Struct(">II")
_NEGOTIATION: Final = struct.Struct(">II")
_U32: Final = struct.Struct(">I")

NAME_BYTES_MAX: Final = 63
PROTOCOL_MAJOR: Final = 3
PROTOCOL: Final = PROTOCOL_MAJOR << 16
"""The newest that PostgreSQL 16 speaks, 3.0."""
DATABASE: Final = "postgres"
_PROTOCOL_OPTION: Final = "_pq_."
_CLUSTER_OPTION: Final = "amzn_cluster_id"
# A backslash takes the next character as it is; blanks (C's isspace) part the words.
_WORD: Final = re.compile(r"(?:\\.|[^\\ \t\n\v\f\r])+", re.DOTALL)
_ESCAPED: Final = re.compile(r"\\(.)", re.DOTALL)
_TO_ESCAPE: Final = re.compile(r"([\\ \t\n\v\f\r])")


class Refused(BorealisError):  # noqa: N818 - it is the refusal that counts
    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.message)
        self.refusal = refusal


@dataclass(frozen=True, slots=True)
class CancelRequest:
    """Asks that a session's statement be stopped; both numbers come from its BackendKeyData."""

    process_id: int
    secret: int


@dataclass(frozen=True, slots=True)
class Startup:
    """What a client wants to be. `parameters` are the rest of what it sent, without `replication`, in its order, but
    `options` first; of two with one name the later one is there. `protocol_options` are the names of those that the
    client offers (`_pq_.…`), as it sent them."""

    protocol: int
    user: str
    database: str
    parameters: tuple[tuple[str, str], ...]
    protocol_options: tuple[str, ...]
    cluster_option: str | None
    """Value of the option `amzn-cluster-id`."""


def packet_length(buffer: bytes | bytearray) -> int | None:
    """Bytes of the packet at the start of the buffer, its length field included; None while that is not here."""
    if len(buffer) < LENGTH_BYTES:
        # A first byte that no allowed length has is refused at once: whoever speaks another protocol may wait for us.
        if buffer and buffer[0] != 0:
            raise Refused(refusals.PACKET_LENGTH)
        return None
    (length,) = _U32.unpack_from(buffer)
    if not PACKET_BYTES_MIN <= length <= PACKET_BYTES_MAX:
        raise Refused(refusals.PACKET_LENGTH)
    return int(length)


def packet_code(packet: bytes) -> int:
    """The word behind the length: a request code or a protocol version."""
    return int(_U32.unpack_from(packet, LENGTH_BYTES)[0])


def parse_cancel(packet: bytes) -> CancelRequest:
    if len(packet) != 8 + _CANCEL.size:
        raise Refused(refusals.CANCEL_LENGTH)
    return CancelRequest(*_CANCEL.unpack_from(packet, 8))


def parse_startup(packet: bytes) -> Startup:
    """A whole startup packet, its length field included. Whether it names a user is for `check_user`, later."""
    protocol = packet_code(packet)
    major, minor = protocol >> 16, protocol & 0xFFFF
    if major != PROTOCOL_MAJOR:
        raise Refused(refusals.unsupported_protocol(major, minor))
    user = database = ""
    options: str | None = None
    cluster_option: str | None = None
    parameters: dict[str, str] = {}
    protocol_options: list[str] = []
    for name, value in _pairs(packet):
        if name == "user":
            user = value
        elif name == "database":
            database = value
        elif name == "options":
            options = value
        elif name == "replication":
            if value.lower() not in ("", "0", "f", "false", "n", "no", "of", "off"):
                raise Refused(refusals.NO_REPLICATION)
        elif name.startswith(_PROTOCOL_OPTION):
            protocol_options.append(name)
        else:
            parameters.pop(name, None)  # the later one wins, at its own place in the order
            parameters[name] = value
    if options is not None:
        options, cluster_option = take_cluster_option(options)
        if options:
            parameters = {"options": options, **parameters}  # PostgreSQL, too, applies options before settings
    user = _truncate(user)
    return Startup(
        protocol,
        user,
        _truncate(database) if database else user,
        tuple(parameters.items()),
        tuple(protocol_options),
        cluster_option,
    )


def negotiation(startup: Startup) -> bytes:
    """What a client is told that wants more of the protocol than there is (NegotiateProtocolVersion): before anything
    else, as PostgreSQL does it. Nothing for others."""
    options = [name.encode() + b"\0" for name in startup.protocol_options]
    if startup.protocol <= PROTOCOL and not options:
        return b""
    body = _NEGOTIATION.pack(PROTOCOL, len(options)) + b"".join(options)
    return b"v" + _U32.pack(LENGTH_BYTES + len(body)) + body


def check_user(startup: Startup) -> None:
    if not startup.user:
        raise Refused(refusals.NO_USER)


def _pairs(packet: bytes) -> list[tuple[str, str]]:
    """Names and values: zero-terminated strings, an empty name as the last byte of the packet."""
    pieces = packet[8:].split(b"\0")
    # n pairs and the terminator are 2n + 1 zero bytes: 2n + 2 pieces, the last two of them empty.
    if len(pieces) % 2 or pieces[-1] or pieces[-2] or b"" in pieces[:-2:2]:
        raise Refused(refusals.PACKET_LAYOUT)
    try:
        texts = [piece.decode() for piece in pieces[:-2]]
    except UnicodeDecodeError:
        raise Refused(refusals.NOT_UTF8) from None
    return list(zip(texts[::2], texts[1::2], strict=True))


def _truncate(name: str) -> str:
    """To the length of a Postgres name, between characters."""
    return name.encode()[:NAME_BYTES_MAX].decode(errors="ignore")


def take_cluster_option(options: str) -> tuple[str, str | None]:
    """The options without `amzn-cluster-id`, and its value. Written `-c name=value`, `-cname=value` or `--name=value`;
    the last one counts. Options that do not hold it come back as they are."""
    if "amzn" not in options.lower():
        return options, None
    words = [_ESCAPED.sub(r"\1", word) for word in _WORD.findall(options)]
    kept: list[str] = []
    value: str | None = None
    position = 0
    while position < len(words):
        word = words[position]
        taken = words[position : position + (2 if word == "-c" else 1)]
        position += len(taken)
        setting = taken[1] if len(taken) == 2 else word[2:] if word.startswith(("--", "-c")) else ""
        name, equals, text = setting.partition("=")
        if name.replace("-", "_").lower() != _CLUSTER_OPTION:
            kept += taken
        elif equals:
            value = text
        else:
            raise Refused(refusals.OPTIONS_LAYOUT)
    return " ".join(_TO_ESCAPE.sub(r"\\\1", word) for word in kept), value
