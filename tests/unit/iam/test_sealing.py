"""What is sealed is AES-256-GCM under a key from HKDF, as anybody else makes it, and opens only where it belongs."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from hypothesis import given
from hypothesis import strategies as st

from borealis.iam.sealing import CannotUnseal, Seal

KEYS = st.binary(min_size=32, max_size=32)
NONCES = st.binary(min_size=12, max_size=12)
PURPOSES = st.text(min_size=1, max_size=20)
TEXTS = st.binary(max_size=5_000)
PLACES = st.binary(max_size=300)


def derive(master: bytes, purpose: str) -> AESGCM:
    info = f"borealis {purpose}".encode()
    return AESGCM(HKDF(algorithm=SHA256(), length=32, salt=None, info=info).derive(master))


@given(KEYS, PURPOSES, NONCES, TEXTS, PLACES)
def test_sealed_as_another_implementation_does(
    master: bytes, purpose: str, nonce: bytes, text: bytes, place: bytes
) -> None:
    sealed = Seal(master, purpose).seal(text, place, lambda count: nonce[:count])
    assert sealed == nonce + derive(master, purpose).encrypt(nonce, text, place)
    assert Seal(master, purpose).unseal(sealed, place) == text


@given(KEYS, NONCES, TEXTS, PLACES, st.data())
def test_whatever_was_changed_does_not_open(
    master: bytes, nonce: bytes, text: bytes, place: bytes, data: st.DataObject
) -> None:
    seal = Seal(master, "tests")
    sealed = bytearray(seal.seal(text, place, lambda count: nonce[:count]))
    at = data.draw(st.integers(0, len(sealed) - 1))
    sealed[at] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(CannotUnseal):
        seal.unseal(bytes(sealed), place)


@pytest.mark.parametrize("length", range(29))
def test_what_is_too_short_does_not_open(length: int) -> None:
    with pytest.raises(CannotUnseal):
        Seal(bytes(32), "tests").unseal(bytes(length), b"")


def test_another_key_purpose_or_place_does_not_open_it() -> None:
    sealed = Seal(b"k" * 32, "tests").seal(b"text", b"here", lambda count: bytes(count))
    for other, place in (
        (Seal(b"l" * 32, "tests"), b"here"),
        (Seal(b"k" * 32, "test"), b"here"),
        (Seal(b"k" * 32, "tests"), b"there"),
        (Seal(b"k" * 32, "tests"), b""),
    ):
        with pytest.raises(CannotUnseal):
            other.unseal(sealed, place)


def test_keys_have_a_length() -> None:
    with pytest.raises(ValueError, match="32"):
        Seal(b"short", "tests")
