"""The overview: what was accepted, what became of it, how long it took, and what waits now."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from api.access.scopes import Scope
from api.console import charts
from api.console.page import page
from payments.money import format_amount
from store.read.overview import open_counts, recent_payments

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from api.console.visit import Visit
    from store.read.overview import Bucket
    from store.write.group_commit import Answer


@dataclass(frozen=True, slots=True)
class Span:
    """A time to look back, in so many parts."""

    name: str
    step: timedelta
    count: int


_SPANS: Final = {
    "15m": Span("15 minutes", timedelta(seconds=15), 60),
    "1h": Span("Hour", timedelta(minutes=1), 60),
    "24h": Span("Day", timedelta(minutes=30), 48),
}


async def show_overview(visit: Visit) -> Answer:
    chosen = visit.parameters.get("span", "1h")
    span = _SPANS.get(chosen, _SPANS["1h"])
    ends_at = _end_of(visit.deps.now(), span.step)
    async with visit.database() as connection:
        buckets = await recent_payments(connection, visit.tenant_id, ends_at, span.step, span.count)
        waiting = await open_counts(connection, visit.tenant_id)
    stacks = [
        (("good", each.completed), ("bad", each.failed), ("busy", each.under_way))
        for each in buckets
    ]
    return visit.page(
        "overview.html",
        spans=_SPANS,
        span=span,
        buckets=buckets,
        totals=_totals(buckets),
        accepted=charts.stacks(stacks),
        latency=charts.lines([[each.p50_s for each in buckets], [each.p95_s for each in buckets]]),
        waiting={status: count for status, count in waiting.items() if count},
        streams=visit.deps.streams() if visit.deps.streams and visit.may(Scope.OPS) else None,
    )


@dataclass(frozen=True, slots=True)
class Totals:
    """Of all parts together; the seconds are of the part with the most payments last."""

    accepted: float
    completed: float
    failed: float
    money: dict[str, str]
    p50_s: float | None
    p95_s: float | None
    is_estimate: bool


def _totals(buckets: Sequence[Bucket]) -> Totals:
    minor: dict[str, float] = {}
    for bucket in buckets:
        for currency, amount in bucket.captured_minor.items():
            minor[currency] = minor.get(currency, 0) + amount
    timed = [each for each in buckets if each.p50_s is not None]
    return Totals(
        accepted=sum(each.accepted for each in buckets),
        completed=sum(each.completed for each in buckets),
        failed=sum(each.failed for each in buckets),
        money={each: format_amount(round(minor[each]), each) for each in sorted(minor)},
        p50_s=timed[-1].p50_s if timed else None,
        p95_s=timed[-1].p95_s if timed else None,
        is_estimate=any(each.is_estimate for each in buckets),
    )


def _end_of(now: datetime, step: timedelta) -> datetime:
    """The end of the part of time that `now` is in, so that parts stay what they are."""
    past = timedelta(seconds=now.timestamp() % step.total_seconds())
    return now - past + step


PAGES: Final = (
    page("/console", show_overview, Scope.PAYMENTS_READ, "How payments are doing.", quiet=True),
)
