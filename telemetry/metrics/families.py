"""Metric families whose labelled children are found by one dict lookup.

The client library's own `labels` takes a lock and rebuilds a tuple of strings each
time: 2.5 microseconds that the request path would pay several times over.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Generic, TypeVar

from prometheus_client import Counter, Gauge, Histogram, disable_created_metrics
from prometheus_client.core import CounterMetricFamily
from prometheus_client.registry import Collector

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from prometheus_client import CollectorRegistry

_PREFIX: Final = "payments_"

MetricT = TypeVar("MetricT", Counter, Gauge, Histogram)


class Family(Generic[MetricT]):
    """A metric with labels; `labels(...)` gives the child that counts for these values."""

    def __init__(self, metric: MetricT) -> None:
        self._metric: MetricT = metric
        self._children: dict[tuple[str, ...], MetricT] = {}

    def labels(self, *values: str) -> MetricT:
        """The child for `values`, as declared, in order; a wrong number is a ValueError."""
        child = self._children.get(values)
        if child is None:
            child = self._children[values] = self._metric.labels(*values)
        return child

    def clear(self) -> None:
        """Forget every child: before setting anew what may have ceased to exist."""
        self._children.clear()
        self._metric.clear()


class _CountedElsewhere(Collector):
    """A counter whose count is asked for at each scrape."""

    def __init__(self, name: str, documentation: str, count: Callable[[], int]) -> None:
        self._name = name
        self._documentation = documentation
        self._count = count

    def collect(self) -> Iterable[CounterMetricFamily]:
        yield CounterMetricFamily(self._name, self._documentation, value=self._count())

    def describe(self) -> Iterable[CounterMetricFamily]:
        yield CounterMetricFamily(self._name, self._documentation)


class Declare:
    """Creates metrics in one registry: plural forms have labels, singular ones have none."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry
        # The library's switch is global; it takes away a `_created` series beside every counter
        # and histogram, which no panel or alert reads and which doubles the page.
        disable_created_metrics()  # type: ignore[no-untyped-call]  # the library leaves it bare

    def counter(self, name: str, documentation: str) -> Counter:
        return Counter(_PREFIX + name, documentation, registry=self._registry)

    def counters(self, name: str, documentation: str, *labels: str) -> Family[Counter]:
        return Family(Counter(_PREFIX + name, documentation, labels, registry=self._registry))

    def counted(self, name: str, documentation: str, count: Callable[[], int]) -> None:
        """A counter of what is counted elsewhere, from before there were metrics."""
        self._registry.register(_CountedElsewhere(_PREFIX + name, documentation, count))

    def gauge(self, name: str, documentation: str) -> Gauge:
        return Gauge(_PREFIX + name, documentation, registry=self._registry)

    def gauges(self, name: str, documentation: str, *labels: str) -> Family[Gauge]:
        return Family(Gauge(_PREFIX + name, documentation, labels, registry=self._registry))

    def histogram(self, name: str, documentation: str, buckets: Sequence[float]) -> Histogram:
        return Histogram(_PREFIX + name, documentation, registry=self._registry, buckets=buckets)

    def histograms(
        self, name: str, documentation: str, *labels: str, buckets: Sequence[float]
    ) -> Family[Histogram]:
        registry = self._registry
        return Family(
            Histogram(_PREFIX + name, documentation, labels, registry=registry, buckets=buckets)
        )


# 1 ms to 10 s: a commit takes 1 to 10 ms, a request 5 to 50, a provider 100 to 3,000.
LATENCY_SECONDS: Final = (
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
)  # fmt: skip
# A payment that is retried for as long as it may be takes a minute; one under inquiry, hours.
JOURNEY_SECONDS: Final = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800, 7200)
BATCH_SIZES: Final = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
