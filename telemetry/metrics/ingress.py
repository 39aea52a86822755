"""What the ingress counts: requests, payments, group commits, replays, protection.

Payments are counted by whoever recorded the fact, so `payments_accepted_total` comes
from the ingress and `payments_finished_total` from whichever process finished them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from telemetry.metrics.families import BATCH_SIZES, JOURNEY_SECONDS, LATENCY_SECONDS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from telemetry.metrics.families import Declare


class HttpMetrics:
    """Traffic. `route` is the template (`/api/v1/payments/{id}`), `status` a class (`2xx`)."""

    def __init__(self, declare: Declare) -> None:
        self.requests = declare.counters(
            "http_requests_total", "Requests answered.", "route", "method", "status"
        )
        self.duration = declare.histograms(
            "http_request_duration_seconds",
            "Seconds from the request's head to the end of its answer.",
            "route",
            "method",
            buckets=LATENCY_SECONDS,
        )
        self.in_flight = declare.gauge("http_requests_in_flight", "Requests being answered.")
        self.waiting = declare.gauge(
            "http_requests_waiting", "Requests that have not begun: others' turns come first."
        )
        self.rejected = declare.counters(
            "http_requests_rejected_total",
            "Requests refused before any work (overload, rate_limit, too_large, unauthorized), and"
            " connections for which there was no room (connections).",
            "reason",
        )

    def begin(self) -> None:
        """At zero."""
        for reason in ("overload", "rate_limit", "too_large", "unauthorized", "connections"):
            self.rejected.labels(reason)


class PaymentMetrics:
    """Payments and refunds. `provider` is `none` for an internal transfer."""

    def __init__(self, declare: Declare) -> None:
        self.accepted = declare.counters(
            "accepted_total", "Payments accepted (committed).", "type", "provider"
        )
        self.finished = declare.counters(
            "finished_total", "Payments that reached a terminal state.", "status", "provider"
        )
        self.accept_to_terminal = declare.histograms(
            "accept_to_terminal_seconds",
            "Seconds from a payment's acceptance to its terminal state.",
            "provider",
            buckets=JOURNEY_SECONDS,
        )
        self.refunds = declare.counters(
            "refunds_total", "Refunds by the state they reached.", "status", "provider"
        )
        self.errors = declare.counters(
            "errors_total", "Payments refused or failed, by stable code.", "type", "error_type"
        )


class GroupCommitMetrics:
    """The group committer: one queue, one transaction for many commands."""

    def __init__(self, declare: Declare) -> None:
        self.batch_size = declare.histogram(
            "group_commit_batch_size", "Commands in one transaction.", BATCH_SIZES
        )
        self.seconds = declare.histogram(
            "group_commit_seconds", "Seconds from BEGIN to COMMIT.", LATENCY_SECONDS
        )
        self.queue_depth = declare.gauge("group_commit_queue_depth", "Commands that wait.")
        self.queue_age = declare.gauge(
            "group_commit_queue_age_seconds", "Seconds the oldest waiting command has waited."
        )
        self.set_aside = declare.gauge(
            "group_commit_set_aside", "Commands that wait for what somebody else holds."
        )
        self.retries = declare.counters(
            "group_commit_retries_total",
            "Batches that failed (unavailable, or an error's class: run again, at last in halves).",
            "reason",
        )


class FeedMetrics:
    """The feed of events. A listener ends because its client left (gone) or did not read (slow)."""

    def __init__(self, declare: Declare) -> None:
        self.listeners = declare.gauge("feed_listeners", "Clients that listen to the feed.")
        self.behind = declare.gauge(
            "feed_behind_seconds",
            "Seconds since which the feed may lack something, for it is not settled; 1 at rest.",
        )
        self.sent = declare.counter("feed_events_sent_total", "Events sent to listeners.")
        self.ended = declare.counters(
            "feed_listeners_ended_total",
            "Listeners that ended (gone, slow, closing, lifetime, another history, or a problem's"
            " code).",
            "reason",
        )


class IdempotencyMetrics:
    """Idempotency keys. `source` of a replay is `cache` (Redis) or `postgres`."""

    def __init__(self, declare: Declare) -> None:
        self.replays = declare.counters(
            "idempotency_replays_total", "First answers given again.", "source"
        )
        self.conflicts = declare.counters(
            "idempotency_conflicts_total", "Keys refused (reused, in_flight).", "reason"
        )

    def begin(self) -> None:
        """At zero."""
        for source in ("cache", "postgres"):
            self.replays.labels(source)
        for reason in ("reused", "in_flight"):
            self.conflicts.labels(reason)


class ProtectionMetrics:
    """What still works without Redis, and who was asked to slow down."""

    def __init__(self, declare: Declare) -> None:
        self.redis_degraded = declare.counters(
            "redis_degraded_total",
            "Times a use of Redis was done without (lock, idempotency_cache, rate_limit).",
            "use",
        )
        self.rate_limited = declare.counters(
            "rate_limit_decisions_total",
            "Rate limit decisions (allowed, refused, unavailable).",
            "limit",
            "decision",
        )

    def begin(self, limits: Iterable[str]) -> None:
        """At zero, for these rate limits."""
        for limit in limits:
            self.redis_degraded.labels("rate_limit")
            for decision in ("allowed", "refused", "unavailable"):
                self.rate_limited.labels(limit, decision)
