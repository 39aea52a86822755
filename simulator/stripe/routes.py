"""Stripe's endpoints: what each is called in the journal and in faults, and who decides it."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final, TypeAlias

from simulator.stripe import (
    disputes,
    holds,
    intents,
    payment_methods,
    reads,
    refunds,
    search,
    webhooks,
)
from simulator.vendor import Decision

Work: TypeAlias = Callable[..., Decision]

ROUTES: Final[tuple[tuple[str, re.Pattern[str], str, Work], ...]] = tuple(
    (method, re.compile(path), operation, work)
    for method, path, operation, work in (
        ("POST", r"/v1/payment_intents", "charge", intents.create),
        ("GET", r"/v1/payment_intents/search", "search", search.intents),
        ("GET", r"/v1/payment_intents", "list", reads.intents),
        ("GET", r"/v1/payment_intents/([^/]+)", "retrieve", reads.intent),
        ("POST", r"/v1/payment_intents/([^/]+)/confirm", "charge", intents.confirm),
        ("POST", r"/v1/payment_intents/([^/]+)/capture", "capture", holds.capture),
        ("POST", r"/v1/payment_intents/([^/]+)/cancel", "void", holds.cancel),
        ("POST", r"/v1/refunds", "refund", refunds.create),
        ("GET", r"/v1/refunds", "list_refunds", reads.refunds),
        ("GET", r"/v1/refunds/([^/]+)", "retrieve_refund", reads.refund),
        ("GET", r"/v1/charges", "list_charges", reads.charges),
        ("GET", r"/v1/charges/([^/]+)", "retrieve_charge", reads.charge),
        ("GET", r"/v1/disputes", "list_disputes", disputes.listed),
        ("GET", r"/v1/disputes/([^/]+)", "retrieve_dispute", disputes.retrieve),
        ("POST", r"/v1/customers", "customer", payment_methods.create_customer),
        ("GET", r"/v1/customers/([^/]+)", "customer", payment_methods.customer),
        ("POST", r"/v1/payment_methods", "payment_method", payment_methods.create),
        ("GET", r"/v1/payment_methods/([^/]+)", "payment_method", payment_methods.retrieve),
        ("POST", r"/v1/payment_methods/([^/]+)/attach", "payment_method", payment_methods.attach),
        ("POST", r"/v1/payment_methods/([^/]+)/detach", "payment_method", payment_methods.detach),
        ("GET", r"/v1/balance", "balance", reads.balance),
        ("GET", r"/v1/events", "list_events", reads.events),
        ("GET", r"/v1/events/([^/]+)", "retrieve_event", reads.event),
        ("POST", r"/v1/webhook_endpoints", "webhook_endpoint", webhooks.create),
        ("GET", r"/v1/webhook_endpoints", "webhook_endpoint", webhooks.listed),
        ("GET", r"/v1/webhook_endpoints/([^/]+)", "webhook_endpoint", webhooks.retrieve),
        ("DELETE", r"/v1/webhook_endpoints/([^/]+)", "webhook_endpoint", webhooks.delete),
    )
)
