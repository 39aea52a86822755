"""The topics' names: what an outbox row's `aggregatetype` may be."""

from __future__ import annotations

from typing import Final

EVENTS: Final = "payments.events"
ACCOUNTS: Final = "payments.accounts"
CHARGES: Final = "payments.charges"
REFUNDS: Final = "payments.refunds"
DEAD_LETTERS: Final = "payments.dlq"

ALL: Final = frozenset({EVENTS, ACCOUNTS, CHARGES, REFUNDS, DEAD_LETTERS})
# A message of these may be sent again; what is told to the world is told once.
WORK: Final = frozenset({CHARGES, REFUNDS})
