"""Health and metrics: for orchestrators and scrapers, without a key."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from api.access.scopes import Everyone
from api.contract.responses.answers import json_answer
from api.contract.route import Route, Success
from store.write.group_commit import Answer
from telemetry.health import OK, HealthResponse
from telemetry.metrics import render

if TYPE_CHECKING:
    from api.handling.call import Call


async def get_liveness(call: Call) -> Answer:  # noqa: ARG001 - that it answers is the answer
    return json_answer(200, OK)


async def get_health(call: Call) -> Answer:
    return await get_liveness(call)


async def get_readiness(call: Call) -> Answer:
    health = await call.deps.readiness.ask()
    return json_answer(health.http_status, health)


async def get_metrics(call: Call) -> Answer:
    accept = call.request.headers.get("Accept", "")
    page, content_type = render(call.deps.metrics.registry, accept)
    return Answer(200, {"Content-Type": content_type}, page)


_ALIVE: Final = {200: Success("The process answers.", HealthResponse)}

# Not served beside payments where a process shows its metrics on a port of their own.
METRICS: Final = Route(
    method="GET",
    path="/metrics",
    handler=get_metrics,
    scope=Everyone.EVERYONE,
    summary="Prometheus metrics; OpenMetrics to whoever asks for it.",
    tag="Health",
    successes={200: Success("The metrics.", media_type="text/plain")},
    quiet=True,
    is_probe=True,
)

ROUTES: Final = (
    Route(
        method="GET",
        path="/health",
        handler=get_health,
        scope=Everyone.EVERYONE,
        summary="Whether the process answers.",
        tag="Health",
        successes=_ALIVE,
        quiet=True,
        is_probe=True,
    ),
    Route(
        method="GET",
        path="/health/live",
        handler=get_liveness,
        scope=Everyone.EVERYONE,
        summary="Whether the process answers.",
        tag="Health",
        successes=_ALIVE,
        quiet=True,
        is_probe=True,
    ),
    Route(
        method="GET",
        path="/health/ready",
        handler=get_readiness,
        scope=Everyone.EVERYONE,
        summary="Whether the process can do its work: Postgres, its migrations, Redis.",
        tag="Health",
        successes={
            200: Success("It can; `degraded` means without Redis.", HealthResponse),
            503: Success("It cannot, and why.", HealthResponse),
        },
        quiet=True,
        is_probe=True,
    ),
    METRICS,
)
