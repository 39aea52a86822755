"""Pages of metrics as they were scraped, and what they are as series."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

from prometheus_client.parser import text_string_to_metric_families

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.support.promql.expressions import Selector

# A series: its labels, the metric's name among them as `__name__`.
Series: TypeAlias = frozenset[tuple[str, str]]
NAME = "__name__"


def series(name: str, **labels: str) -> Series:
    return frozenset({(NAME, name), *labels.items()})


def samples_of(page: str, **target: str) -> dict[Series, float]:
    """Of one target's page, with the labels that the scrape adds."""
    return {
        series(sample.name, **{**sample.labels, **target}): sample.value
        for family in text_string_to_metric_families(page)
        for sample in family.samples
    }


@dataclass(slots=True)
class Scrapes:
    """All targets at a time, again and again. What the last scrape did not have is gone."""

    # Each with its time, and its series by metric.
    _taken: list[tuple[float, Mapping[str, Mapping[Series, float]]]] = field(default_factory=list)

    def add(self, at: float, samples: Mapping[Series, float]) -> None:
        assert self.last_at is None or at > self.last_at
        by_metric: dict[str, dict[Series, float]] = {}
        for one, value in samples.items():
            by_metric.setdefault(dict(one)[NAME], {})[one] = value
        self._taken.append((at, by_metric))

    @property
    def last_at(self) -> float | None:
        return self._taken[-1][0] if self._taken else None

    def instant(self, selector: Selector) -> dict[Series, float]:
        """What was there at the last scrape."""
        return _meant(selector, self._taken[-1][1])

    def points(self, selector: Selector, since: float) -> dict[Series, list[tuple[float, float]]]:
        """Of each series its samples since then, the time of each first."""
        found: dict[Series, list[tuple[float, float]]] = {}
        for at, by_metric in self._taken:
            if at >= since:
                for one, value in _meant(selector, by_metric).items():
                    found.setdefault(one, []).append((at, value))
        return found


def _meant(
    selector: Selector, by_metric: Mapping[str, Mapping[Series, float]]
) -> dict[Series, float]:
    samples = by_metric.get(selector.name, {})
    if not selector.matchers:
        return dict(samples)
    return {one: value for one, value in samples.items() if _matches(selector, dict(one))}


def _matches(selector: Selector, labels: Mapping[str, str]) -> bool:
    return all(each.matches(labels) for each in selector.matchers)
