"""What each stage does: one row for each that `topics/names.py` declares.

A stage that does what another does is a row here; one that does something new is a member of
`Does` besides, and the type checker then asks `agents/__main__.py` for how it is composed.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING, Final

from payments.events import WorkType
from topics.names import STAGES

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from topics.names import WorkStage

# Nobody waits at the other end of a claim: gathered for 20 ms, a tenth to a fifth more payments
# pass through two cores than begun at once, and at 500 a second they pass sooner.
_PACE_S: Final = 0.02


class Does(Enum):
    """What a stage does that calls no provider for the work on its topic."""

    DEAD_LETTERS = auto()  # records what is on the topic of dead letters
    SCHEDULE = auto()  # wakes what is due, and keeps house
    NOTIFICATIONS = auto()  # takes what providers post


@dataclass(frozen=True, slots=True)
class StageWork:
    """What a stage does: provider work, for messages of a type, or what `Does` says.

    Its commits are `pace_s` seconds apart at the least, when it is busy.
    """

    does: WorkType | Does
    pace_s: float = _PACE_S


WORK: Final[Mapping[str, StageWork]] = {
    "charge": StageWork(WorkType.CHARGE),
    "refund": StageWork(WorkType.REFUND),
    "dead-letters": StageWork(Does.DEAD_LETTERS),
    "schedule": StageWork(Does.SCHEDULE),
    # No provider minds when its webhook is answered: most tell what is known, and cost but the
    # commit.
    "webhooks": StageWork(Does.NOTIFICATIONS, pace_s=0.1),
}


def by_command(stages: Iterable[WorkStage] = STAGES) -> dict[str, WorkStage]:
    """Each stage by what the command line may call it."""
    return {name: each for each in stages for name in (each.name, each.command)}
