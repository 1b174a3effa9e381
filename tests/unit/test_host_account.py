"""Whom the host runs as."""

from __future__ import annotations

import pytest

from borealis.host.account import NOBODY, Account, choose_account

ROOT = Account(0, 0)
ALICE = Account(1000, 1000)
BOB = Account(1001, 1001)


@pytest.mark.parametrize("owner", [None, ROOT, ALICE])
def test_who_is_not_root_stays_who_they_are(owner: Account | None) -> None:
    assert choose_account(1000, owner, BOB) is None


@pytest.mark.parametrize(
    ("owner", "sudo_user", "chosen"),
    [
        (ALICE, None, ALICE),
        (ALICE, BOB, ALICE),
        (None, BOB, BOB),
        (ROOT, BOB, BOB),
        (None, None, Account(NOBODY, NOBODY)),
        (ROOT, ROOT, Account(NOBODY, NOBODY)),
    ],
)
def test_root_becomes_the_owner_of_the_data_or_who_called_sudo_or_nobody(
    owner: Account | None, sudo_user: Account | None, chosen: Account
) -> None:
    assert choose_account(0, owner, sudo_user) == chosen
