"""A break's life: found, found again, gone by itself, or resolved by a person. Pure.

A break is open until a report that must show it no longer does, or until somebody signs for
it. What a person resolved stays so while it looks the same: reports keep showing old sins.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime
    from uuid import UUID

    from payments.reconciliation.differences import Break, Period


class BreakState(StrEnum):
    """Open until it is gone or signed for."""

    OPEN = "open"
    RESOLVED = "resolved"


@dataclass(frozen=True, slots=True)
class Resolution:
    """Why a break is closed; `by` is None when a report showed that it is gone."""

    at: datetime
    by: str | None
    reason: str


@dataclass(frozen=True, slots=True)
class TrackedBreak:
    """A break as it was found last, and what became of it."""

    found: Break
    first_found_at: datetime
    last_found_at: datetime
    resolution: Resolution | None = None

    @property
    def id(self) -> UUID:
        return self.found.id

    @property
    def state(self) -> BreakState:
        return BreakState.RESOLVED if self.resolution else BreakState.OPEN

    def age_s(self, now: datetime) -> float:
        """Seconds since the money differed, not since somebody looked."""
        return (now - self.found.occurred_at).total_seconds()


@dataclass(frozen=True, slots=True)
class Run:
    """What a run leaves behind: the breaks to write down, by what became of them."""

    new: tuple[TrackedBreak, ...]
    again: tuple[TrackedBreak, ...]
    gone: tuple[TrackedBreak, ...]

    @property
    def open(self) -> tuple[TrackedBreak, ...]:
        """What this report shows and nobody has signed for."""
        return tuple(each for each in (*self.new, *self.again) if not each.resolution)


def after_run(
    known: Mapping[UUID, TrackedBreak], found: Iterable[Break], period: Period, now: datetime
) -> Run:
    """`known` are the provider's open breaks, and whichever of `found` there were before."""
    shown = {each.id: each for each in found}
    return Run(
        new=tuple(TrackedBreak(each, now, now) for each in shown.values() if each.id not in known),
        again=tuple(
            _again(known[each.id], each, now) for each in shown.values() if each.id in known
        ),
        gone=tuple(
            replace(each, resolution=Resolution(now, None, "no longer in the report"))
            for each in known.values()
            if each.id not in shown and not each.resolution and _must_show(period, each.found)
        ),
    )


def resolved(each: TrackedBreak, actor: str, reason: str, now: datetime) -> TrackedBreak:
    """Signed for: whatever it was, somebody has seen to it."""
    return replace(each, resolution=Resolution(now, actor, reason))


def _again(before: TrackedBreak, found: Break, now: datetime) -> TrackedBreak:
    signed = before.resolution is not None and before.resolution.by is not None
    kept = before.resolution if signed and _figures(before.found) == _figures(found) else None
    return replace(before, found=found, last_found_at=now, resolution=kept)


def _figures(each: Break) -> tuple[object, ...]:
    return each.here, each.there, each.status_here, each.status_there


def _must_show(period: Period, each: Break) -> bool:
    return period.covers(each.began_at, each.occurred_at)
