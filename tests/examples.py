"""How many examples a property test tries, or seeds it simulates: its own number in the whole suite, a share of it in
the quick gate.

`make check` chooses the share with --hypothesis-profile, which is loaded before any test is imported.
"""

from __future__ import annotations

from typing import Final

from hypothesis import settings

QUICK: Final = "quick"
QUICK_PERCENT: Final = 20

_WHOLE: Final = 100


def examples(count: int) -> int:
    """Of the `count` that a test asks for, those that the profile has time for."""
    assert settings.default is not None
    return max(1, count * settings.default.max_examples // _WHOLE)
