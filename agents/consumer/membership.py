"""A stage's worker in its consumer group: how many partitions it has, and whether it is alone.

Under a name of its own (static membership) a worker that comes back takes its former self's place.
Two at once under one name take it from each other, again and again, and neither gets anything
done; the broker tells each only that it is not known any more. So whoever loses its place without
having been away says so.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import structlog

if TYPE_CHECKING:
    import faust

    from agents.consumer.app import Subscription
    from telemetry.metrics.pipeline import StageMetrics

log = structlog.get_logger()

_LOOK_EVERY_S: Final = 1.0
# Who has not looked for so long was stopped itself, and may have lost its place for that; it has
# found another so long after it goes on.
_AWAY_S: Final = 5.0
_BACK_WITHIN_S: Final = 10.0


async def watch(app: faust.App, subscription: Subscription, metrics: StageMetrics) -> None:
    """Look until cancelled."""
    partitions = metrics.partitions.labels(subscription.stage)
    clashes = metrics.name_clashes.labels(subscription.stage)
    loop = asyncio.get_running_loop()
    known, looked_at, back_by = "", loop.time(), 0.0
    while True:
        await asyncio.sleep(_LOOK_EVERY_S)
        consumer = getattr(getattr(app._consumer, "_thread", None), "_consumer", None)  # noqa: SLF001 - nothing public leads from an app to its member of the group
        coordinator = getattr(consumer, "_coordinator", None)
        now = loop.time()
        if now - looked_at > _AWAY_S:
            back_by = now + _BACK_WITHIN_S
        looked_at = now
        if consumer is None or coordinator is None:
            continue
        partitions.set(len(consumer.assignment()))
        member_id: str = coordinator.member_id
        if known and member_id not in {"", known} and now > back_by and subscription.member:
            clashes.inc()
            log.error(
                "lost its place in the group to another worker of the same name, unless the broker"
                " has forgotten the group: give each worker a name of its own",
                group=subscription.group,
                member=subscription.member,
            )
        known = member_id or known
