"""The client's side of the record layer, in plain Python after the RFCs: what our library is compared with.

It does what it is told, rule or no rule.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305

from borealis.tls import TlsSession

TLS13, TLS12 = 0x0304, 0x0303
ALERT, HANDSHAKE, APPLICATION_DATA = 21, 22, 23
KEY_UPDATE, KEY_UPDATE_REQUESTED = b"\x18\0\0\1\0", b"\x18\0\0\1\1"

KEY_BYTES = {
    0x1301: 16,
    0x1302: 32,
    0x1303: 32,
    0xC02B: 16,
    0xC02F: 16,
    0xC02C: 32,
    0xC030: 32,
    0xCCA9: 32,
    0xCCA8: 32,
}
SHA384_SUITES = (0x1302, 0xC02C, 0xC030)
CHACHA20_SUITES = (0x1303, 0xCCA8, 0xCCA9)


@dataclass
class PeerDirection:
    version: int
    suite: int
    secret: bytes
    sequence: int
    key: bytes = field(init=False)
    nonce: bytes = field(init=False)

    def __post_init__(self) -> None:
        self._take_keys()

    def _take_keys(self) -> None:
        size = KEY_BYTES[self.suite]
        if self.version == TLS13:
            self.key, self.nonce = self._expand(b"key", size), self._expand(b"iv", 12)
        else:
            self.key, self.nonce = self.secret[:size], self.secret[size:]

    def _expand(self, label: bytes, size: int) -> bytes:
        info = size.to_bytes(2, "big") + bytes([len(label) + 6]) + b"tls13 " + label + b"\0\1"
        return hmac.digest(self.secret, info, self.hash)[:size]

    @property
    def hash(self) -> str:
        return "sha384" if self.suite in SHA384_SUITES else "sha256"

    def advance(self) -> None:
        self.secret = self._expand(b"traffic upd", hashlib.new(self.hash).digest_size)
        self.sequence = 0
        self._take_keys()

    @property
    def has_explicit_nonce(self) -> bool:
        return len(self.nonce) == 4

    def cipher(self) -> AESGCM | ChaCha20Poly1305:
        return ChaCha20Poly1305(self.key) if self.suite in CHACHA20_SUITES else AESGCM(self.key)

    def next_nonce(self, explicit: bytes = b"") -> bytes:
        if explicit:
            return self.nonce + explicit
        counter = self.sequence.to_bytes(12, "big")
        return bytes(a ^ b for a, b in zip(self.nonce, counter, strict=True))

    def next_header(self, content_type: int, size: int) -> bytes:
        return self.sequence.to_bytes(8, "big") + bytes([content_type, 3, 3]) + size.to_bytes(2, "big")


class RecordPeer:
    """The other end of a session whose state this is."""

    def __init__(self, state: bytes) -> None:
        self.version = int.from_bytes(state[:2], "little")
        self.suite = int.from_bytes(state[2:4], "little")
        read_sequence, write_sequence = (int.from_bytes(state[at : at + 8], "little") for at in (8, 16))
        size = 48 if self.suite in SHA384_SUITES else 32
        if self.version == TLS12:
            size = KEY_BYTES[self.suite] + (12 if self.suite in CHACHA20_SUITES else 4)
        self.ours = PeerDirection(self.version, self.suite, state[32 : 32 + size], read_sequence)
        self.theirs = PeerDirection(self.version, self.suite, state[96 : 96 + size], write_sequence)
        self.explicit_nonces: list[bytes] = []
        """Those of the records that were opened."""

    def seal(self, content_type: int, content: bytes, *, padding: int = 0) -> bytes:
        direction = self.ours
        if self.version == TLS13:
            plain = content + bytes([content_type]) + bytes(padding)
            header = b"\x17\x03\x03" + (len(plain) + 16).to_bytes(2, "big")
            body = direction.cipher().encrypt(direction.next_nonce(), plain, header)
        else:
            explicit = direction.sequence.to_bytes(8, "big") if direction.has_explicit_nonce else b""
            associated = direction.next_header(content_type, len(content))
            body = explicit + direction.cipher().encrypt(direction.next_nonce(explicit), content, associated)
            header = bytes([content_type, 3, 3]) + len(body).to_bytes(2, "big")
        direction.sequence += 1
        return header + body

    def update_key(self, *, wants_answer: bool = False) -> bytes:
        record = self.seal(HANDSHAKE, KEY_UPDATE_REQUESTED if wants_answer else KEY_UPDATE)
        self.ours.advance()
        return record

    def open(self, stream: bytes) -> list[tuple[int, bytes]]:
        """(content type, content) of each record; KeyUpdates are followed."""
        records = []
        while stream:
            size = int.from_bytes(stream[3:5], "big")
            header, body, stream = stream[:5], stream[5 : 5 + size], stream[5 + size :]
            assert len(body) == size
            records.append(self._open_one(header, body))
            if records[-1][0] == HANDSHAKE:
                self.theirs.advance()
        return records

    def _open_one(self, header: bytes, body: bytes) -> tuple[int, bytes]:
        direction = self.theirs
        if self.version == TLS13:
            assert header[:3] == b"\x17\x03\x03"
            plain = direction.cipher().decrypt(direction.next_nonce(), body, header).rstrip(b"\0")
            content_type, content = plain[-1], plain[:-1]
        else:
            explicit = b""
            if direction.has_explicit_nonce:
                explicit, body = body[:8], body[8:]
                self.explicit_nonces.append(explicit)
            content_type = header[0]
            associated = direction.next_header(content_type, len(body) - 16)
            content = direction.cipher().decrypt(direction.next_nonce(explicit), body, associated)
        direction.sequence += 1
        return content_type, content


def make_state(
    suite: int, *, read_sequence: int = 0, write_sequence: int = 0, explicit_nonce: int = 0, flags: int = 0
) -> bytearray:
    """A state with keys of its own."""
    version = TLS13 if suite < 0x2000 else TLS12
    size = 48 if suite in SHA384_SUITES else 32
    if version == TLS12:
        size = KEY_BYTES[suite] + (12 if suite in CHACHA20_SUITES else 4)
    secrets = (hashlib.sha512(b"%d" % number).digest()[:size].ljust(64, b"\0") for number in (suite, suite + 1))
    numbers = (read_sequence, write_sequence, explicit_nonce)
    return bytearray(
        b"".join(
            (
                version.to_bytes(2, "little"),
                suite.to_bytes(2, "little"),
                bytes([0, flags, 0, 0]),
                *(number.to_bytes(8, "little") for number in numbers),
                *secrets,
                bytes(8),
            )
        )
    )


def make_pair(suite: int, **numbers: int) -> tuple[RecordPeer, TlsSession]:
    state = make_state(suite, **numbers)
    return RecordPeer(bytes(state)), TlsSession.adopt(state)
