from __future__ import annotations

from pathlib import Path

import pytest

from borealis.foundation.errors import SQLSTATE, Reason, Unavailable
from borealis.foundation.pages import PAGE_BYTES, TRANSACTIONS_MAGIC, SharedPage, TransactionsWord


def test_a_watcher_sees_what_the_owner_stores(tmp_path: Path) -> None:
    path = tmp_path / "transactions.page"
    with SharedPage.own(path, TRANSACTIONS_MAGIC) as owner, SharedPage.watch(path, TRANSACTIONS_MAGIC) as watcher:
        owner.store(TransactionsWord.ACKNOWLEDGED, 2**64 - 1)
        assert watcher.load(TransactionsWord.ACKNOWLEDGED) == 2**64 - 1
        assert watcher.load(TransactionsWord.SCHEMA_VERSION) == 0


def test_the_layout_is_that_of_the_formats(tmp_path: Path) -> None:
    path = tmp_path / "transactions.page"
    with SharedPage.own(path, TRANSACTIONS_MAGIC) as owner:
        owner.store(TransactionsWord.LEASE_START, 0x1122334455667788)
        owner.store(TransactionsWord.PROCESS_ID, 7)
    data = path.read_bytes()
    assert len(data) == PAGE_BYTES
    assert data[:8] == b"BRLSTXN1"
    assert int.from_bytes(data[32:40], "little") == 0x1122334455667788
    assert int.from_bytes(data[40:48], "little") == 7


def test_a_restarted_owner_keeps_the_file_and_its_words(tmp_path: Path) -> None:
    path = tmp_path / "transactions.page"
    with SharedPage.own(path, TRANSACTIONS_MAGIC) as first:
        first.store(TransactionsWord.ACKNOWLEDGED, 5)
    inode = path.stat().st_ino
    with SharedPage.watch(path, TRANSACTIONS_MAGIC) as watcher, SharedPage.own(path, TRANSACTIONS_MAGIC) as second:
        assert second.load(TransactionsWord.ACKNOWLEDGED) == 5
        second.store(TransactionsWord.ACKNOWLEDGED, 6)
        assert watcher.load(TransactionsWord.ACKNOWLEDGED) == 6
    assert path.stat().st_ino == inode


@pytest.mark.parametrize("content", [None, b"", b"BRLSTXN1", b"x" * PAGE_BYTES])
def test_a_page_that_is_not_complete_is_unavailable(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "transactions.page"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(Unavailable):
        SharedPage.watch(path, TRANSACTIONS_MAGIC)


def test_every_reason_has_a_sqlstate() -> None:
    assert set(SQLSTATE) == set(Reason)
