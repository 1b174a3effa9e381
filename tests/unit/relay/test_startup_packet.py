from __future__ import annotations

import struct
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from borealis.relay import refusals
from borealis.relay.startup_packet import (
    PACKET_BYTES_MAX,
    CancelRequest,
    Refused,
    check_user,
    packet_length,
    parse_cancel,
    parse_startup,
    take_cluster_option,
)

VERSION_3_0 = 3 << 16
VERSION_3_2 = 3 << 16 | 2


def packet(*texts: str | bytes, version: int = VERSION_3_0, end: bytes = b"\0") -> bytes:
    body = b"".join((text if isinstance(text, bytes) else text.encode()) + b"\0" for text in texts) + end
    return struct.pack(">II", 8 + len(body), version) + body


def refusal_of(data: bytes) -> refusals.Refusal:
    with pytest.raises(Refused) as caught:
        parse_startup(data)
    return caught.value.refusal


@pytest.mark.parametrize("version", [VERSION_3_0, VERSION_3_2, 3 << 16 | 9999])
def test_a_startup_packet_names_user_database_and_parameters(version: int) -> None:
    startup = parse_startup(
        packet("user", "admin", "database", "postgres", "application_name", "psql", "_pq_.x", "1", version=version)
    )
    assert (startup.protocol, startup.user, startup.database) == (version, "admin", "postgres")
    assert startup.parameters == (("application_name", "psql"),)
    assert startup.protocol_options == ("_pq_.x",)
    assert startup.cluster_option is None


def test_the_database_is_the_user_by_default_and_names_are_cut_between_characters() -> None:
    startup = parse_startup(packet("user", "ä" * 40))
    assert startup.user == startup.database == "ä" * 31


def test_of_two_with_one_name_the_later_wins() -> None:
    startup = parse_startup(packet("user", "a", "user", "b", "work_mem", "1", "TimeZone", "UTC", "work_mem", "2"))
    assert startup.user == "b"
    assert startup.parameters == (("TimeZone", "UTC"), ("work_mem", "2"))


@pytest.mark.parametrize(
    "data",
    [
        packet("user", "a", end=b""),  # no terminator
        packet("user", "a", end=b"\0\0"),  # something behind it
        packet("user", "a", end=b"\0user\0b\0\0"),
        packet("user", end=b""),  # a name without a value
        packet("user", end=b"\0"),
        packet(end=b""),
        packet("user", "a", end=b"x"),
    ],
)
def test_a_packet_that_is_laid_out_otherwise_is_refused(data: bytes) -> None:
    assert refusal_of(data) == refusals.PACKET_LAYOUT


@pytest.mark.parametrize(
    ("data", "refusal"),
    [
        (packet("user", b"\xff"), refusals.NOT_UTF8),
        (packet("user", "a", "replication", "database"), refusals.NO_REPLICATION),
        (packet("user", "a", "replication", "true"), refusals.NO_REPLICATION),
        (packet("user", "a", version=2 << 16), refusals.unsupported_protocol(2, 0)),
        (packet("user", "a", version=1234 << 16 | 5679), refusals.unsupported_protocol(1234, 5679)),
        (packet("user", "a", "options", "-c amzn-cluster-id"), refusals.OPTIONS_LAYOUT),
    ],
)
def test_what_cannot_become_a_session_is_refused(data: bytes, refusal: refusals.Refusal) -> None:
    assert refusal_of(data) == refusal


@pytest.mark.parametrize("data", [packet("user", "", "database", "x"), packet()])
def test_a_packet_without_a_user_can_be_read_and_is_refused_later(data: bytes) -> None:
    startup = parse_startup(data)
    with pytest.raises(Refused) as caught:
        check_user(startup)
    assert caught.value.refusal == refusals.NO_USER


def test_replication_that_is_switched_off_is_no_replication() -> None:
    assert parse_startup(packet("user", "a", "replication", "off")).parameters == ()


@pytest.mark.parametrize(
    ("options", "rest", "cluster"),
    [
        ("", "", None),
        ("-c work_mem=1MB", "-c work_mem=1MB", None),
        ("-c amzn-cluster-id=abc", "", "abc"),
        ("--amzn-cluster-id=abc", "", "abc"),
        ("-camzn-cluster-id=abc", "", "abc"),
        ("--AMZN_Cluster-Id=abc", "", "abc"),
        ("-c  search_path=a\\ b   -c amzn-cluster-id=abc --x=1", "-c search_path=a\\ b --x=1", "abc"),
        ("-c amzn-cluster-id=abc --amzn-cluster-id=def", "", "def"),
        ("-c search_path=amzn\\\\", "-c search_path=amzn\\\\", None),
        ("-c amzn-cluster-id=a\\ b", "", "a b"),
        ("-c amzn\\", "-c amzn", None),
        ("-c", "-c", None),
        ("amzn -c", "amzn -c", None),
    ],
)
def test_the_cluster_is_taken_out_of_the_options(options: str, rest: str, cluster: str | None) -> None:
    assert take_cluster_option(options) == (rest, cluster)
    startup = parse_startup(packet("x", "1", "user", "admin", "options", options))
    expected = (("options", rest),) if rest else ()
    assert startup.parameters == (*expected, ("x", "1"))
    assert startup.cluster_option == cluster


def words_of(options: str) -> list[str]:
    """As pg_split_opts reads them, character by character."""
    words: list[str] = []
    word: str | None = None
    characters = iter(options)
    for character in characters:
        if character in " \t\n\v\f\r":
            if word is not None:
                words.append(word)
            word = None
            continue
        escaped = next(characters, "") if character == "\\" else character
        word = (word or "") + escaped
    return [*words, word] if word else words


@given(st.text("-c =\\ab\t", max_size=30), st.text("-c =\\ab\t", max_size=30))
def test_other_options_keep_their_words(before: str, after: str) -> None:
    rest, _ = take_cluster_option(f"{before} --amzn-cluster-id=x {after}")
    known = [word for word in words_of(f"{before} --amzn-cluster-id=x {after}") if word != "--amzn-cluster-id=x"]
    read = [word for word in words_of(rest) if word != "--amzn-cluster-id=x"]
    assert read == known


@pytest.mark.parametrize("data", [b"G", b"\x16\x03\x01\x02\x00", b"\0\0\x27\x11", b"\0\0\0\x07", b"\x80\0\0\x08"])
def test_a_length_that_no_packet_has_is_refused_as_soon_as_it_shows(data: bytes) -> None:
    with pytest.raises(Refused) as caught:
        packet_length(data)
    assert caught.value.refusal == refusals.PACKET_LENGTH


def test_a_length_is_known_after_four_bytes() -> None:
    assert packet_length(b"") is None
    assert packet_length(b"\0\0\x27") is None
    assert packet_length(b"\0\0\x27\x10") == PACKET_BYTES_MAX


def test_a_cancel_request_has_exactly_sixteen_bytes() -> None:
    data = struct.pack(">IIII", 16, 80877102, 0x80000001, 0xFFFFFFFF)
    assert parse_cancel(data) == CancelRequest(0x80000001, 0xFFFFFFFF)
    for wrong in (data[:-1], data + b"\0"):
        with pytest.raises(Refused):
            parse_cancel(wrong)


@given(st.binary(min_size=0, max_size=200), st.sampled_from([VERSION_3_0, VERSION_3_2]) | st.integers(0, 2**32 - 1))
def test_any_packet_is_parsed_or_refused(body: bytes, version: int) -> None:
    with suppress(Refused):
        parse_startup(struct.pack(">II", 8 + len(body), version) + body)


PIECES = st.sampled_from([b"user", b"database", b"options", b"-c amzn-cluster-id=x", b"a", b"", b"\xff", b"\0"])


@given(st.lists(PIECES, max_size=9))
def test_any_packet_of_familiar_pieces_is_parsed_or_refused(pieces: list[bytes]) -> None:
    with suppress(Refused):
        startup = parse_startup(packet(*pieces))
        check_user(startup)
        assert startup.user
        assert startup.database
        assert len(dict(startup.parameters)) == len(startup.parameters)
