"""Which transactions an outbox snapshot has seen, and so which of the WAL it already covers.

Pure. While the WAL is replayed after a recovery, a transaction the snapshot saw is already in the
sink, row for row, because the table was compared with it; a transaction it did not see is not.
That takes the room of one snapshot, however many rows were compared. Source: PostgreSQL manual,
"Transaction ID and Snapshot Information Functions" (`pg_snapshot`).
"""

from dataclasses import dataclass
from typing import Final, Self

_XID_BITS: Final = 32
_XID_MASK: Final = (1 << _XID_BITS) - 1
_HALF: Final = 1 << (_XID_BITS - 1)


@dataclass(frozen=True, slots=True)
class TransactionSnapshot:
    """`lsn` is a position of the WAL no transaction the snapshot saw was committed after."""

    lsn: int
    xmax: int
    in_progress: frozenset[int]

    @classmethod
    def parse(cls, text: str, *, lsn: int) -> Self:
        """From `pg_current_snapshot()`: `xmin:xmax:xid,xid,...`, of 64 bits each."""
        _, xmax, in_progress = text.split(":")
        xids = (int(xid) & _XID_MASK for xid in in_progress.split(",") if xid)
        return cls(lsn, int(xmax) & _XID_MASK, frozenset(xids))

    def saw(self, xid: int) -> bool:
        """Whether a committed transaction was visible. The WAL names it by 32 bits, which wrap."""
        return _precedes(xid, self.xmax) and xid not in self.in_progress


def _precedes(xid: int, other: int) -> bool:
    return 0 < ((other - xid) & _XID_MASK) < _HALF
