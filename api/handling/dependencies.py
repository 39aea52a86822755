"""What the ingress works with, made by whoever composes the process and passed down from there."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

from process.clients import NOBODY, Proxies

if TYPE_CHECKING:
    from asyncpg.pool import PoolConnectionProxy
    from opentelemetry.trace import Tracer

    from api.access.authentication import Authenticator
    from api.access.rate_limits import RateLimiter
    from api.feed.feed import Feed
    from api.handling.reads import Reads
    from api.handling.watch import PaymentWatch
    from api.idempotency.replay_cache import ReplayCache
    from lag import StreamsReport
    from payments.commands import Command
    from store.readiness import Readiness
    from store.write.group_commit import Reply, Submission
    from telemetry.metrics import Metrics
    from topics.contracts.webhook_urls import Reach
    from topics.contracts.webhooks import Keyring


class Committer(Protocol):
    """What handlers need of the group committer."""

    def admit(self, tenant_id: str) -> None:
        """See `store.write.group_commit.GroupCommitter.admit`."""
        ...

    async def submit(self, submission: Submission, patience_s: float | None = None) -> Reply:
        """See `store.write.group_commit.GroupCommitter.submit`."""
        ...

    async def rehearse(self, connection: PoolConnectionProxy, command: Command) -> Reply:
        """See `store.write.group_commit.GroupCommitter.rehearse`."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Dependencies:
    """Everything a request may touch."""

    reads: Reads
    committer: Committer
    authenticator: Authenticator
    rate_limiter: RateLimiter
    replay_cache: ReplayCache
    watch: PaymentWatch
    feed: Feed
    readiness: Readiness
    # The lag of every stage as it was measured last; None where nobody measures.
    streams: Callable[[], StreamsReport] | None
    # How far behind each stage and slot was over the last half hour: `LagExporter.trail`.
    trail: Callable[[], Mapping[tuple[str, str], Sequence[float | None]]]
    metrics: Metrics
    tracer: Tracer
    now: Callable[[], datetime]
    # The names of the payment providers there are.
    providers: Sequence[str]
    new_request_id: Callable[[], str]
    # What the secrets of webhook endpoints are derived with, and where endpoints may be.
    keyring: Keyring
    reach: Reach
    read_timeout_seconds: float = 15.0
    proxies: Proxies = NOBODY
