"""In the place of Prometheus: scrapes every process, again and again, and asks what alerts ask."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from tests.support.project.alerts import alerts, panels
from tests.support.promql.engine import evaluate
from tests.support.promql.scrapes import Scrapes, samples_of, series
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from tests.support.fixtures.processes import OurProcess
    from tests.support.promql.scrapes import Series

# Prometheus under docker-compose.yml takes five seconds; a test waits for what the next one shows.
_EVERY_S: Final = 0.5
# Where nobody's rate is limited, as under `make run`, nothing is decided.
_OF_LIMITS: Final = {"Payments Overview: Redis done without: {{limit}}: {{decision}}"}
EXPRESSIONS: Final[Mapping[str, str]] = {each.name: each.expression for each in alerts()}


@dataclass(slots=True)
class Watch:
    """`targets` by what Prometheus calls them; who is not there is not scraped."""

    targets: dict[str, OurProcess]
    scrapes: Scrapes = field(default_factory=Scrapes)
    # Alerts that were seen to be true.
    _seen: set[str] = field(default_factory=set)

    def forget(self) -> None:
        """What was is of another test."""
        self.scrapes, self._seen = Scrapes(), set()

    async def look(self) -> None:
        """Scrape all, not too soon after the last time."""
        await eventually(self._is_time)
        # What is added while they answer is not theirs.
        targets = dict(self.targets)
        at = time.time()
        pages = await asyncio.gather(*(each.page() for each in targets.values()))
        found: dict[Series, float] = {}
        for (name, process), page in zip(targets.items(), pages, strict=True):
            labels = {"job": "payments", "process": name, "instance": str(process.port)}
            found |= samples_of(page, **labels)
            found[series("up", **labels)] = float(bool(page))
        self.scrapes.add(at, found)

    async def sees(self, *expected: str, within: float) -> None:
        """Return when each of these alerts has been true."""

        async def are_seen() -> bool:
            await self.look()
            self._seen |= set(self._true(expected))
            missing = {*expected} - self._seen
            assert not missing, f"{sorted(missing)} are not true; {sorted(self._seen)} were"
            return True

        await eventually(are_seen, within)

    async def sees_no(self, *alerts: str, within: float) -> None:
        """Return when none of these is true any more."""

        async def are_over() -> bool:
            await self.look()
            still = self._true(alerts)
            assert not still, f"{still} are true still"
            return True

        await eventually(are_over, within)

    async def has_all_panels(self) -> bool:
        """Whether there is something to draw for each line of each dashboard, by now."""
        await self.look()
        empty = {each.name for each in panels() if not evaluate(each.expression, self.scrapes)}
        empty -= _OF_LIMITS
        assert not empty, empty
        return True

    def _true(self, alerts: Collection[str]) -> list[str]:
        return [each for each in alerts if evaluate(EXPRESSIONS[each], self.scrapes)]

    def _is_time(self) -> bool:
        return self.scrapes.last_at is None or time.time() >= self.scrapes.last_at + _EVERY_S
