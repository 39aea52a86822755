"""What the processes behind the ingress count: relay, stages, provider calls."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from telemetry.metrics.families import BATCH_SIZES, LATENCY_SECONDS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from telemetry.metrics.families import Declare

BREAKER_CLOSED: Final = 0
BREAKER_HALF_OPEN: Final = 1
BREAKER_OPEN: Final = 2
_RESTARTS: Final = ("source", "sink", "slot_lost", "deposed", "rebuild", "undeclared_topic")


class RelayMetrics:
    """The relay, per sink (`kafka`, `redis`)."""

    def __init__(self, declare: Declare) -> None:
        self.active = declare.gauges(
            "relay_active", "1 while this process holds the slot, 0 while it stands by.", "sink"
        )
        self.published = declare.counters(
            "relay_published_total", "Messages the sink acknowledged.", "sink", "topic"
        )
        self.in_flight = declare.gauges(
            "relay_in_flight", "Messages sent and not yet acknowledged.", "sink"
        )
        self.received_lsn = declare.gauges(
            "relay_received_lsn_bytes", "WAL position read last, as an integer.", "sink"
        )
        self.confirmed_lsn = declare.gauges(
            "relay_confirmed_lsn_bytes", "WAL position confirmed last, as an integer.", "sink"
        )
        self.commit_to_ack = declare.histograms(
            "relay_commit_to_ack_seconds",
            "Seconds from the commit of a row to the sink's acknowledgement.",
            "sink",
            buckets=LATENCY_SECONDS,
        )
        self.lag_seconds = declare.gauges(
            "relay_lag_seconds",
            "Seconds since the commit of the oldest unacknowledged row.",
            "sink",
        )
        self.refused = declare.counters(
            "relay_refused_total", "Messages the sink refused for their content.", "sink"
        )
        self.set_aside = declare.gauges(
            "relay_set_aside",
            "Messages the sink refused, and what waits behind them, until somebody decides.",
            "sink",
        )
        self.set_aside_oldest = declare.gauges(
            "relay_set_aside_oldest_seconds", "Since when the oldest of them is set aside.", "sink"
        )
        self.paused = declare.gauges(
            "relay_paused", "1 while an operator has it publish nothing.", "sink"
        )
        self.restarts = declare.counters(
            "relay_restarts_total",
            f"Streams begun again ({', '.join(_RESTARTS)}).",
            "sink",
            "reason",
        )
        self.refilled = declare.counters(
            "relay_refilled_total", "Messages published from the table, not the WAL.", "sink"
        )
        self.duplicates_skipped = declare.counters(
            "relay_duplicates_skipped_total", "Replayed messages the sink already had.", "sink"
        )

    def begin(self, sink: str) -> None:
        """At zero."""
        for reason in _RESTARTS:
            self.restarts.labels(sink, reason)


class StageMetrics:
    """The stages, per `stage` (`charge`, `refund`, `dead-letters`, `schedule`)."""

    def __init__(self, declare: Declare) -> None:
        self._group(declare)
        self.claims = declare.counters(
            "stage_claims_total", "Events claimed: an attempt and a lease are recorded.", "stage"
        )
        self.left = declare.counters(
            "stage_events_left_total",
            "Events acknowledged before their turn and left to what is due in Postgres.",
            "stage",
            "lane",
        )
        self.skipped = declare.counters(
            "stage_skipped_total",
            "Events with nothing to do: made before, or at work elsewhere (not_claimable), or that"
            " no tenant's endpoint is there for (unwanted).",
            "stage",
            "reason",
        )
        self.processed = declare.counters(
            "stage_processed_total",
            "Work done: a provider's outcome (succeeded, declined, retriable, deferred, unknown,"
            " unresolvable, unrecorded), a letter (filed), what was due (woken, sent_again,"
            " expired, not_due, failed).",
            "stage",
            "outcome",
        )
        self.in_flight = declare.gauges("stage_in_flight", "Claimed, without an outcome.", "stage")
        self.calls_allowed = declare.gauges(
            "stage_calls_allowed",
            "Calls at once that the provider has shown to bear.",
            "stage",
            "provider",
        )
        self.batch_size = declare.histograms(
            "stage_batch_size", "Events taken at once.", "stage", buckets=BATCH_SIZES
        )
        self.handler_seconds = declare.histograms(
            "stage_handler_seconds",
            "Seconds from an event's claim to its recorded outcome.",
            "stage",
            buckets=LATENCY_SECONDS,
        )
        self.lease_expiries = declare.counters(
            "stage_lease_expiries_total", "Leases that ran out and were taken over.", "stage"
        )
        self.retries_scheduled = declare.counters(
            "stage_retries_scheduled_total", "Attempts put off to a later time.", "stage", "reason"
        )
        self.dead_letters = declare.counters(
            "stage_dead_letters_total", "Dead letters written.", "stage", "reason"
        )
        self.housekeeping = declare.counters(
            "housekeeping_steps_total",
            "Steps of the schedule's house-keeping (done, refused).",
            "step",
            "outcome",
        )
        self.paused = declare.gauges(
            "stage_paused", "1 while the stage takes no events, on purpose.", "stage"
        )

    def begin(self, stage: str, letters: Iterable[str]) -> None:
        """At zero, with these reasons for dead letters."""
        for reason in letters:
            self.dead_letters.labels(stage, reason)

    def begin_work(self, stage: str) -> None:
        """At zero, what only those count who ask a provider."""
        self.skipped.labels(stage, "not_claimable")
        self.retries_scheduled.labels(stage, "deferred")

    def _group(self, declare: Declare) -> None:
        """What comes of being one of a consumer group."""
        self.taken = declare.counters("stage_events_taken_total", "Events read.", "stage")
        self.acked = declare.counters("stage_events_acked_total", "Events acknowledged.", "stage")
        self.partitions = declare.gauges(
            "stage_partitions", "Partitions that the worker has in its group.", "stage"
        )
        self.name_clashes = declare.counters(
            "stage_name_clashes_total",
            "Places in the group lost to another worker of the same name.",
            "stage",
        )


class WebhookMetrics:
    """What providers send by themselves, per provider (`stripe`, `paypal`)."""

    def __init__(self, declare: Declare) -> None:
        self.received = declare.counters(
            "webhooks_received_total",
            "Notifications by what became of them (asked, nothing, duplicate, confirmed, recorded,"
            " contradiction, unresolved, irrelevant, not_ours, refused, undecided, unavailable).",
            "provider",
            "outcome",
        )


class DeliveryMetrics:
    """What is sent to tenants' webhook endpoints."""

    def __init__(self, declare: Declare) -> None:
        self.ended = declare.counters(
            "webhook_deliveries_total",
            "Tries by what became of the delivery: delivered, pending (to be tried again), failed"
            " (given up).",
            "state",
        )
        self.seconds = declare.histogram(
            "webhook_delivery_seconds",
            "Seconds until an endpoint answered, or did not.",
            LATENCY_SECONDS,
        )
        self.latency = declare.histogram(
            "webhook_event_to_delivery_seconds",
            "Seconds from an event to its delivery, where the first try was taken.",
            LATENCY_SECONDS,
        )
        self.in_flight = declare.gauge("webhook_deliveries_in_flight", "Tries under way.")
        self.endpoints = declare.gauges(
            "webhook_endpoints",
            "Endpoints by state: enabled, failing (enabled, takes nothing), paused, disabled.",
            "state",
        )


class ProviderMetrics:
    """Calls to payment providers, per provider and operation.

    Operations are `charge`, `capture`, `void`, `refund` and `inquire`.
    """

    def __init__(self, declare: Declare) -> None:
        self.calls = declare.counters(
            "provider_calls_total",
            "Calls by outcome (succeeded, declined, retriable, deferred, unknown, not_found).",
            "provider",
            "operation",
            "outcome",
        )
        self.seconds = declare.histograms(
            "provider_call_seconds",
            "Seconds of one call.",
            "provider",
            "operation",
            buckets=LATENCY_SECONDS,
        )
        self.in_flight = declare.gauges("provider_in_flight", "Calls under way.", "provider")
        self.breaker_state = declare.gauges(
            "provider_breaker_state", "0 closed, 1 half-open, 2 open.", "provider", "operation"
        )
        self.state = declare.gauges(
            "provider_state",
            "1 for the state the provider is in, by this process's calls (well, limited,"
            " circuit_open, unreachable, refusing_credentials), else 0.",
            "provider",
            "state",
        )
        self.state_seconds = declare.gauges(
            "provider_state_seconds", "Seconds since the provider is in its state.", "provider"
        )


class SimulatorMetrics:
    """What the provider simulator answered and did, per vendor."""

    def __init__(self, declare: Declare) -> None:
        self.requests = declare.counters(
            "simulator_requests_total",
            "Requests journalled, by the class of the status decided (2xx, 4xx, 5xx).",
            "vendor",
            "operation",
            "status",
        )
        self.effects = declare.counters(
            "simulator_effects_total",
            "Money reserved, moved or released (authorized, charged, captured, voided, refunded).",
            "vendor",
            "effect",
        )
        self.journal_seconds = declare.histogram(
            "simulator_journal_seconds",
            "Seconds until a line is on disk, in company.",
            buckets=LATENCY_SECONDS,
        )
