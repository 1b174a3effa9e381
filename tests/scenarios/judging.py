"""What every scenario demands of its history, whatever the workload was."""

from __future__ import annotations

from collections import Counter
from typing import Any

from tests.scenarios.history import History, Outcome

# Rejections that the design announces: a conflict, a stale catalog, and storage too far behind.
RETRY = {"40001", "53300"}
# What a client may meet when processes are killed.
DISTURBED = {"lost", "57P01", "57P02", "57P03", "08000", "08003", "08006", "08007"}


def assert_outcomes(history: History[Any], *, is_calm: bool, also: frozenset[str] = frozenset()) -> None:
    """Only announced errors occurred, nothing was unknown without a reason, and something was achieved."""
    allowed = RETRY | also | (set() if is_calm else DISTURBED)
    unexpected = {error: count for error, count in history.errors().items() if error not in allowed}
    assert not unexpected, f"errors that no client should see: {unexpected}: {history.messages(unexpected)}"
    counts = Counter(attempt.outcome for attempt in history.attempts())
    print("outcomes:", {outcome.value: count for outcome, count in counts.items()}, "errors:", history.errors())
    assert counts[Outcome.COMMITTED] > 0
    if is_calm:
        assert counts[Outcome.UNKNOWN] == 0
