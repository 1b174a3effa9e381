"""The storage process end to end: what the journal says is what a reader of the map finds."""

from pathlib import Path

from tests.integration.storage.conftest import Start
from tests.integration.storage.journal_peer import Journal, JournalPeer
from tests.integration.storage.map_view import MapView


def row(number: int) -> bytes:
    return b"\x10" + (7).to_bytes(4, "big") + b"\0\0\0\x09" + number.to_bytes(8, "big")


def test_commits_become_visible_at_their_timestamps(
    start: Start, peer: JournalPeer, journal: Journal, tmp_path: Path
) -> None:
    first = journal.write((1, row(1), b"one"), (1, row(2), b"two"))
    second = journal.write((2, row(1), b"uno"), (4, row(2), b""))
    storage = start()
    peer.wait_applied(second)
    with MapView(tmp_path) as view:
        assert view.at(first) == {row(1): b"one", row(2): b"two"}
        assert view.at(second) == {row(1): b"uno"}
        assert view.meta()["position"] == journal.end
        assert view.meta()["timestamp"] == second
    words = storage.words()
    assert words["APPLIED"] == second
    assert words["APPLIED_POSITION"] == journal.end
    assert words["MAP_BYTES"] == 1 << 40
    assert words["PROCESS_ID"] == storage.process_id
    assert storage.stop() == 0
