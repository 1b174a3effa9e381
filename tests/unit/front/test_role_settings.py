"""Generations of a role's settings: when Postgres has to be asked, and what its answer means."""

from __future__ import annotations

from pathlib import Path

from borealis.foundation.pages import TRANSACTIONS_MAGIC, SharedPage, TransactionsWord
from borealis.front.role_settings import CatalogVersion, RoleSettings


def test_postgres_is_asked_once_for_each_version_of_the_catalogs() -> None:
    settings = RoleSettings()
    assert settings.find("ann", 5) is None
    first = settings.note("ann", 5, None)
    assert settings.find("ann", 5) == first
    assert settings.find("bob", 5) is None
    assert settings.find("ann", 6) is None
    assert settings.note("ann", 6, None) == first
    assert settings.find("ann", 6) == first


def test_while_nobody_knows_the_version_postgres_is_always_asked() -> None:
    settings = RoleSettings()
    first = settings.note("ann", None, b"x")
    assert settings.find("ann", None) is None
    assert settings.note("ann", None, b"x") == first


def test_a_generation_never_comes_back() -> None:
    """A backend may have logged in under what came between."""
    settings = RoleSettings()
    generations = [settings.note("ann", version, text) for version, text in enumerate((None, b"a", b"b", b"a", None))]
    assert len(set(generations)) == 5
    assert settings.note("bob", 5, None) not in generations


def test_the_version_is_read_from_the_page(tmp_path: Path) -> None:
    path = tmp_path / "transactions.page"
    version = CatalogVersion(path)
    assert version.read() is None
    with SharedPage.own(path, TRANSACTIONS_MAGIC) as page:
        page.store(TransactionsWord.CATALOG_VERSION, 7)
        assert version.read() == 7
        page.store(TransactionsWord.CATALOG_VERSION, 8)
        assert version.read() == 8
