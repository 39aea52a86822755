"""Which system accounts are there for certain, so that not every batch inserts its own once more.

What a committed batch named is remembered for a moment. Such rows are never changed or deleted,
but a database may be put back to before there was one: no longer than for that moment it is missed.
"""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from uuid import UUID

    from payments.account import SystemAccount
    from payments.decision import Decision

# A busy ingress commits some hundred batches meanwhile; of an idle one each may insert them.
_TRUSTED_S: Final = 5.0
# A few a tenant and currency.
_KNOWN_MAX: Final = 10_000


class KnownSystems:
    """Ids of system accounts, each until it is asked for again."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._until: dict[UUID, float] = {}

    def unknown(self, decisions: Iterable[Decision]) -> list[SystemAccount]:
        """Those that the decisions need and that may not be there, by id."""
        now = self._clock()
        needed = {
            each.id: each
            for decision in decisions
            for each in decision.system_accounts
            if self._until.get(each.id, now) <= now
        }
        return [needed[each] for each in sorted(needed)]

    def learn(self, inserted: Iterable[SystemAccount]) -> None:
        """To be called once they are committed."""
        if len(self._until) > _KNOWN_MAX:
            self._until.clear()
        until = self._clock() + _TRUSTED_S
        self._until.update((each.id, until) for each in inserted)

    def forget(self) -> None:
        """Everything: the server was away, and may have come back as another."""
        self._until.clear()
