"""Secrets at rest and in session tokens: AES-256-GCM under keys derived from one master key file.

Promises that a sealed text opens only under the same master key, for the same purpose and with the same associated
data: a ciphertext that is moved to another row, or changed by a bit, does not open. The master key is 32 random bytes
in a file that only the account of the data can read; whoever has the file and the store has every secret.
"""

import hmac
import os
from pathlib import Path
from typing import Final

from borealis.foundation.errors import BorealisError, Unavailable
from borealis.iam.names import RandomBytes
from borealis.tls import sealing

KEY_BYTES: Final = sealing.KEY_BYTES
_NONCE_BYTES: Final = sealing.NONCE_BYTES
_TAG_BYTES: Final = sealing.TAG_BYTES


class CannotUnseal(BorealisError):  # noqa: N818 - it says what is wrong
    """Not sealed under this key, for this purpose, with this associated data; or damaged."""


class Seal:
    """Seals and unseals for one purpose. Prints as nothing."""

    __slots__ = ("_key",)

    def __init__(self, master_key: bytes, purpose: str) -> None:
        if len(master_key) != KEY_BYTES:
            raise ValueError(f"a master key is {KEY_BYTES} bytes")
        self._key = _derive(master_key, f"borealis {purpose}".encode())

    def seal(self, text: bytes, associated: bytes, random: RandomBytes) -> bytes:
        """12 bytes of nonce, the ciphertext, 16 bytes of tag."""
        nonce = random(_NONCE_BYTES)
        return nonce + sealing.seal(self._key, nonce, text, associated)

    def unseal(self, sealed: bytes, associated: bytes) -> bytes:
        """Raises CannotUnseal."""
        if len(sealed) < _NONCE_BYTES + _TAG_BYTES:
            raise CannotUnseal("too short to be sealed")
        text = sealing.unseal(self._key, sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], associated)
        if text is None:
            raise CannotUnseal("not sealed by this key for this place")
        return text


def _derive(secret: bytes, info: bytes) -> bytes:
    """HKDF of RFC 5869 with SHA-256, no salt, and one block of output."""
    extracted = hmac.digest(bytes(KEY_BYTES), secret, "sha256")
    return hmac.digest(extracted, info + b"\x01", "sha256")


def read_master_key(path: Path) -> bytes:
    """Raises Unavailable."""
    try:
        key = path.read_bytes()
    except FileNotFoundError:
        raise Unavailable(f"{path} is missing: without it no secret can be read; restore it from a backup") from None
    except OSError as error:
        raise Unavailable(f"{path} cannot be read: {error.strerror}") from error
    if len(key) != KEY_BYTES:
        raise Unavailable(f"{path} is damaged ({len(key)} bytes instead of {KEY_BYTES}); restore it from a backup")
    return key


def make_master_key(path: Path, random: RandomBytes) -> None:
    """Makes the file if there is none, whole and on the disk, whoever else tries at the same time."""
    if path.exists():
        return
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    partial.unlink(missing_ok=True)
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        os.write(descriptor, random(KEY_BYTES))
        os.fsync(descriptor)
        try:
            os.link(partial, path)
        except FileExistsError:
            return
    finally:
        os.close(descriptor)
        partial.unlink()
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
