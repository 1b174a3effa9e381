"""The transaction service: admits or refuses transactions, gives them their timestamps, and keeps the journal.

`python -m borealis.adjudicator` runs it (`server`, `settings`). `Adjudicator` is the pure decision logic;
`TransactionService` puts the journal under it and fixes the order of the steps of a commit, for the network shell and
for the simulation alike. A commit that was answered is durable and visible to every reader that begins afterwards.
"""

from borealis.adjudicator.adjudicator import Adjudicator
from borealis.adjudicator.service import RoomNeeded, TransactionService

__all__ = ["Adjudicator", "RoomNeeded", "TransactionService"]
