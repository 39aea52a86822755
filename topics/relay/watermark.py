"""The position a relay may confirm: the end of the longest prefix of the WAL that is acknowledged.

Pure. Transactions come in commit order and their rows are acknowledged in any order; a
transaction counts once it is committed and all its rows are acknowledged, and it moves the
position only when every transaction before it counts too. The position never moves back.
"""

from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(slots=True, eq=False)
class Transaction:
    """A transaction in flight.

    `commit_lsn` is None for a batch published from the outbox table, which moves no position.
    `pending` counts its rows in flight, and one more until its end is known.
    """

    commit_lsn: int | None
    committed_at: float
    pending: int = 1
    end_lsn: int = 0


class Watermark:
    """Keeps what is in flight; `confirmed` is an LSN as an integer."""

    def __init__(self, confirmed: int) -> None:
        self.confirmed = confirmed
        self.rows_in_flight = 0
        self._open: deque[Transaction] = deque()

    def begin(self, commit_lsn: int | None, committed_at: float) -> Transaction:
        """The next transaction of the WAL."""
        transaction = Transaction(commit_lsn, committed_at)
        self._open.append(transaction)
        return transaction

    def sent(self, transaction: Transaction, rows: int = 1) -> None:
        """So many more rows of this transaction are on their way to the sink."""
        transaction.pending += rows
        self.rows_in_flight += rows

    def acked(self, transactions: Sequence[Transaction]) -> None:
        """The sink has a row of each of these; one may be there several times."""
        if self.rows_in_flight < len(transactions):
            raise ValueError("rows were acknowledged that are not in flight")
        self.rows_in_flight -= len(transactions)
        for transaction, rows in Counter(transactions).items():
            if transaction.pending < rows:
                raise ValueError("a row was acknowledged that is not in flight")
            transaction.pending -= rows
        self._advance()

    def end(self, transaction: Transaction, end_lsn: int) -> None:
        """All rows of the transaction are known; confirming `end_lsn` covers it."""
        transaction.end_lsn = end_lsn
        transaction.pending -= 1
        self._advance()

    def reached(self, lsn: int) -> None:
        """The source has nothing for us before `lsn` but what it has sent."""
        if self._open:
            self.end(self.begin(None, self._open[-1].committed_at), lsn)
        else:
            self.confirmed = max(self.confirmed, lsn)

    def oldest(self) -> Transaction | None:
        """The transaction that holds the position back."""
        return self._open[0] if self._open else None

    def _advance(self) -> None:
        while self._open and self._open[0].pending == 0:
            self.confirmed = max(self.confirmed, self._open.popleft().end_lsn)
