"""PayPal's side of the simulator: orders, authorizations, captures, refunds, tokens, webhooks.

Source of every rule here: PayPal's OpenAPI documents for Orders v2 and Payments v2 and its
REST pages on idempotency, card testing and currency codes.
"""

from simulator.paypal.vendor import PayPal as Vendor

__all__ = ["Vendor"]
