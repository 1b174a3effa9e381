"""The black-box judge: what clients appended and read, given to the list-append checker of the scenarios."""

from simulation.client import LISTS, decode_list, row_key
from simulation.history import Attempt, History, Outcome
from tests.scenarios import list_append
from tests.scenarios.history import Attempt as ListAttempt
from tests.scenarios.history import Outcome as ListOutcome

_OUTCOMES = {
    Outcome.COMMITTED: ListOutcome.COMMITTED,
    Outcome.READ_ONLY: ListOutcome.COMMITTED,
    Outcome.UNKNOWN: ListOutcome.UNKNOWN,
    Outcome.REJECTED: ListOutcome.REJECTED,
    Outcome.NOT_TRIED: ListOutcome.REJECTED,
}
_PREFIX = row_key(LISTS, 0)[:-4]


def judge_lists(history: History) -> list[tuple[str, str]]:
    """(kind, detail) of each anomaly."""
    attempts = [_as_list_attempt(attempt) for attempt in history.attempts]
    return [(anomaly.kind, anomaly.detail) for anomaly in list_append.check(attempts)]


def _as_list_attempt(attempt: Attempt) -> ListAttempt[list_append.Transaction]:
    operations: list[list_append.Append | list_append.Read] = []
    for key, value in attempt.reads:
        if key.startswith(_PREFIX):
            operations.append(list_append.Read(_number(key), decode_list(value)))
    operations += [list_append.Append(_number(key), item) for key, item in attempt.appends]
    return ListAttempt(tuple(operations), _OUTCOMES[attempt.outcome], attempt.began, attempt.ended)


def _number(key: bytes) -> int:
    return int.from_bytes(key[-4:], "big")
