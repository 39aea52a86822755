"""The invariants: what must hold, what of it the database alone shows, and what a check finds.

One that the database shows is a row here and a statement in `store/sql/verify_*.sql` that returns
what violates it; `payments verify` and the tests take it from here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

# Whoever mends a violation needs a few examples; a table of millions helps nobody.
EXAMPLES_MAX: Final = 1000


@dataclass(frozen=True, slots=True)
class Invariant:
    """What must hold; `statements` find violations, each in the table that says how many it saw."""

    id: str
    claim: str
    statements: Mapping[str, str] = field(default_factory=dict)


INVARIANTS: Final = (
    Invariant(
        "I1",
        "all posted debits equal all posted credits, per currency",
        {
            "verify_conservation": "ledger_transfers",
            "verify_transfer_parties": "ledger_transfers",
        },
    ),
    Invariant(
        "I2",
        "accounts equal their ledger; nothing is overdrawn or held without reason",
        {
            "verify_account_totals": "accounts",
            "verify_overdrawn": "accounts",
            "verify_holds": "accounts",
            "verify_held_after": "ledger_transfers",
        },
    ),
    Invariant(
        "I3",
        "every payment has ended, or somebody will look at it in time",
        {
            "verify_unowned": "payments",
            "verify_open": "payments",
            "verify_forgotten": "payments",
            "verify_queues": "dead_letters",
        },
    ),
    Invariant("I4", "the provider charged what we say it charged, never twice"),
    Invariant(
        "I5",
        "everything a client was told exists",
        {"verify_answers": "idempotency_keys"},
    ),
    Invariant("I6", "one idempotency key made one thing", {"verify_keys": "idempotency_keys"}),
    Invariant(
        "I7",
        "the topics hold what the outbox holds, bit for bit",
        {"verify_outbox": "payment_events"},
    ),
    Invariant(
        "I8", "sequences count 1, 2, 3 ... per payment", {"verify_sequences": "payment_events"}
    ),
    Invariant(
        "I9",
        "no effect took place twice",
        {
            "verify_effects_of_payments": "payments",
            "verify_effects_of_refunds": "refunds",
            "verify_disputes": "payments",
        },
    ),
    Invariant(
        "I10",
        "each poison message is one dead letter with its bytes",
        {"verify_letters": "dead_letters"},
    ),
    Invariant(
        "I11",
        "payments and refunds are what their events say",
        {"verify_fold_of_payments": "payments", "verify_fold_of_refunds": "refunds"},
    ),
    Invariant("I12", "what has ended stays ended", {"verify_ends": "payment_events"}),
    Invariant("I13", "nobody lags behind"),
    Invariant("I14", "no secret stands on a topic"),
    Invariant("I15", "nothing is held or kept at a provider that neither books nor letters name"),
)


@dataclass(frozen=True, slots=True)
class Violation:
    """Something that should not be: what it is about, and what is wrong."""

    subject: str
    problem: str


@dataclass(frozen=True, slots=True)
class CheckResult:
    """One check of one invariant against one source; `checked` counts what was looked at.

    `unchecked` says why it could not be told, and then there are no violations; it is
    `excused` when nothing is wrong with that (no simulator where the provider is real).
    """

    invariant: str
    source: str
    checked: int = 0
    violations: tuple[Violation, ...] = ()
    unchecked: str | None = None
    excused: bool = False

    @property
    def holds(self) -> bool:
        """Checked and not violated, or rightly not checked."""
        return self.excused or (self.unchecked is None and not self.violations)
