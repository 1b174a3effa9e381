"""AES-256-GCM of whole texts with the OpenSSL of the sessions: for secrets at rest."""

from typing import Final

from borealis.tls.errors import TlsUnavailable
from borealis.tls.library import address_of, cleanse, library

KEY_BYTES: Final = 32
NONCE_BYTES: Final = 12
TAG_BYTES: Final = 16


def seal(key: bytes, nonce: bytes, text: bytes, associated: bytes) -> bytes:
    """The ciphertext and the tag. A nonce serves once for a key."""
    _check(key, nonce)
    out = bytearray(len(text) + TAG_BYTES)
    if not library.tls_seal(key, nonce, associated, len(associated), text, len(text), address_of(out)):
        raise TlsUnavailable("OpenSSL cannot seal a text")
    return bytes(out)


def unseal(key: bytes, nonce: bytes, sealed: bytes, associated: bytes) -> bytes | None:
    """The text; None if it was not sealed under this key with this nonce and associated data, or was changed since."""
    _check(key, nonce)
    if len(sealed) < TAG_BYTES:
        return None
    text_bytes = len(sealed) - TAG_BYTES
    out = bytearray(max(1, text_bytes))
    if not library.tls_unseal(key, nonce, associated, len(associated), sealed, len(sealed), address_of(out)):
        return None
    text = bytes(out[:text_bytes])
    cleanse(out)
    return text


def _check(key: bytes, nonce: bytes) -> None:
    if len(key) != KEY_BYTES or len(nonce) != NONCE_BYTES:
        raise ValueError(f"a key has {KEY_BYTES} bytes, a nonce {NONCE_BYTES}")
