"""Whether the pipeline is at rest, and whether anybody lags behind.

At rest means: nothing owes a provider a call, the relays have confirmed all that was
written, and every stage has acknowledged all there is. How far downstream consumers are is
theirs to decide: a subscriber that stopped has broken no promise of ours.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from lag import GroupState, LagExporter
from lag.targets import groups_of, slots_of
from verify.database import violations
from verify.invariants import CheckResult, Violation

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lag import GroupLag, StreamsReport
    from verify.database import Connection
    from verify.relays import Relays

_LOOK_EVERY_S: Final = 0.25
_LAG_SECONDS_MAX: Final = 60.0
# Of our own; how far others are is their affair.
_GROUPS: Final = frozenset(groups_of())
_SLOTS: Final = frozenset(slots_of())
_NOT_READ: Final = frozenset({GroupState.STOPPED, GroupState.UNKNOWN})


@dataclass(frozen=True, slots=True)
class Quiescence:
    """Asks the database, the relays and the lag exporter."""

    connection: Connection
    exporter: LagExporter
    relays: Relays

    async def within(self, seconds: float) -> tuple[Violation, ...]:
        """Wait until the pipeline is at rest; what is not, when it is not in time."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + seconds
        while True:
            waiting = await self._waiting()
            if not waiting or loop.time() >= deadline:
                return waiting
            await asyncio.sleep(_LOOK_EVERY_S)

    async def _waiting(self) -> tuple[Violation, ...]:
        """In this order: what has ended is written, what is written comes to the stages."""
        in_flight = await violations(self.connection, "verify_in_flight")
        behind = await self.relays.behind(await self.relays.written())
        if in_flight or behind:
            return (*in_flight, *behind.values())
        report = await self.exporter.refresh()
        lagging = [
            Violation(f"group {each.group}", f"has {_told(each)} messages to acknowledge")
            for each in _stages(report)
            if each.messages != 0
        ]
        away = [Violation(each.source, each.reason) for each in report.unavailable]
        return (*lagging, *away)


def lag_result(report: StreamsReport, behind: Iterable[Violation]) -> CheckResult:
    """I13 of one measurement, and of the relays that did not reach a position in time."""
    groups = [
        Violation(
            f"group {each.group}",
            f"is {each.state.value}, {_told(each)} messages and {each.seconds or 0:.0f} s behind",
        )
        for each in _stages(report)
        if each.messages != 0
        and (each.state in _NOT_READ or (each.seconds or 0) > _LAG_SECONDS_MAX)
    ]
    slots = [each for each in report.slots if each.slot in _SLOTS]
    unread = [
        Violation(f"slot {each.slot}", f"has no reader, its WAL is {each.wal_status}")
        for each in slots
        if not each.active
    ]
    looked_at = len(_stages(report)) + len(slots)
    found = (*behind, *groups, *unread)
    away = "; ".join(f"{each.source}: {each.reason}" for each in report.unavailable)
    return CheckResult("I13", "lag", looked_at, found, away or None if not found else None)


def _stages(report: StreamsReport) -> tuple[GroupLag, ...]:
    return tuple(each for each in report.groups if each.group in _GROUPS)


def _told(group: GroupLag) -> str:
    return "nobody knows how many" if group.messages is None else str(group.messages)
