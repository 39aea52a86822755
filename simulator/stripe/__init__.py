"""Stripe's side of the simulator: PaymentIntents, refunds, charges, search, events, webhooks.

Source of every rule here: Stripe's API reference and its pages on idempotent requests, error
codes, testing and currencies.
"""

from simulator.stripe.vendor import Stripe as Vendor

__all__ = ["Vendor"]
