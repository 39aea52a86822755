"""What the ingress works with, made by whoever composes the process and passed down from there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import asyncpg
    from opentelemetry.trace import Tracer

    from api.access.authentication import Authenticator
    from api.access.rate_limits import RateLimiter
    from api.handling.readiness import Readiness
    from api.handling.watch import PaymentWatch
    from api.idempotency.replay_cache import ReplayCache
    from lag import StreamsReport
    from store.write.group_commit import Reply, Submission
    from telemetry.metrics import Metrics


class Committer(Protocol):
    """What handlers need of the group committer."""

    async def submit(self, submission: Submission, patience_s: float | None = None) -> Reply:
        """See `store.write.group_commit.GroupCommitter.submit`."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Dependencies:
    """Everything a request may touch."""

    pool: asyncpg.Pool[asyncpg.Record]
    committer: Committer
    authenticator: Authenticator
    rate_limiter: RateLimiter
    replay_cache: ReplayCache
    watch: PaymentWatch
    readiness: Readiness
    # The lag of every stage as it was measured last; None where nobody measures.
    streams: Callable[[], StreamsReport] | None
    metrics: Metrics
    tracer: Tracer
    now: Callable[[], datetime]
    # The names of the payment providers there are.
    providers: Sequence[str]
    new_request_id: Callable[[], str]
    read_timeout_seconds: float = 15.0
