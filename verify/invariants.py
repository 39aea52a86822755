"""What a check finds: for each invariant the violations, or why it could not be checked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

# Whoever mends a violation needs a few examples; a table of millions helps nobody.
EXAMPLES_MAX: Final = 1000

INVARIANTS: Final = {
    "I1": "all posted debits equal all posted credits, per currency",
    "I2": "accounts equal their ledger; nothing is overdrawn or held without reason",
    "I3": "every payment has ended, or somebody will look at it in time",
    "I4": "the provider charged what we say it charged, never twice",
    "I5": "everything a client was told exists",
    "I6": "one idempotency key made one thing",
    "I7": "the topics hold what the outbox holds, bit for bit",
    "I8": "sequences count 1, 2, 3 ... per payment",
    "I9": "no effect took place twice",
    "I10": "each poison message is one dead letter with its bytes",
    "I11": "payments and refunds are what their events say",
    "I12": "what has ended stays ended",
    "I13": "nobody lags behind",
    "I14": "no secret stands on a topic",
}


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
