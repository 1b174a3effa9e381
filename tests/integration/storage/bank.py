"""A workload whose every state can be judged: money moves between accounts, rows come and go, values have all sizes."""

from random import Random

from borealis.wire.transaction_record import Operation
from tests.integration.storage.journal_peer import Journal, row

ACCOUNTS = 200
BALANCE = 1_000
ACCOUNT_RELATION = 7
OTHER_RELATION = 8


def encode_account(balance: int, filler: int) -> bytes:
    return balance.to_bytes(8, "little", signed=True) + b"f" * filler


def decode_balance(value: bytes) -> int:
    return int.from_bytes(value[:8], "little", signed=True)


class Bank:
    """Writes transactions into a journal and remembers the state after each."""

    def __init__(self, journal: Journal, seed: int) -> None:
        self._journal = journal
        self._random = Random(seed)
        self.rows: dict[bytes, bytes] = {}
        writes = [(row(number, ACCOUNT_RELATION), encode_account(BALANCE, 50)) for number in range(ACCOUNTS)]
        self._write([(int(Operation.INSERT), key, value) for key, value in writes])

    def transact(self, batches: int, transactions: int = 3) -> int:
        """Some batches; the timestamp of the last."""
        for _ in range(batches):
            self._journal.append(*(self._transaction(self._draw_writes()) for _ in range(transactions)))
        return self._journal.timestamp

    def _draw_writes(self) -> list[tuple[int, bytes, bytes]]:
        giver, taker = (row(number, ACCOUNT_RELATION) for number in self._random.sample(range(ACCOUNTS), 2))
        amount = self._random.randint(1, 100)
        filler = self._random.choice((20, 50, 3_000, 20_000)) if self._random.random() < 0.05 else 50
        writes = [
            (Operation.UPDATE, giver, encode_account(decode_balance(self.rows[giver]) - amount, filler)),
            (Operation.UPDATE, taker, encode_account(decode_balance(self.rows[taker]) + amount, 50)),
        ]
        other = row(self._random.randrange(500), OTHER_RELATION)
        if other in self.rows:
            writes.append((Operation.DELETE, other, b""))
        else:
            writes.append((Operation.INSERT, other, b"x" * self._random.randint(1, 300)))
        return [(int(operation), key, value) for operation, key, value in writes]

    def _transaction(self, writes: list[tuple[int, bytes, bytes]]) -> bytes:
        for _, key, value in writes:
            if value:
                self.rows[key] = value
            else:
                del self.rows[key]
        return self._journal.transaction(*writes)

    def _write(self, writes: list[tuple[int, bytes, bytes]]) -> None:
        self._journal.append(self._transaction(writes))
