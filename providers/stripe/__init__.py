"""Stripe: payments as PaymentIntents, confirmed in the call that creates them.

Source throughout: docs.stripe.com/api, version `STRIPE_VERSION`. A `provider_reference` is
the PaymentIntent's id (`pi_...`), for a refund the refund's (`re_...`).
"""

from providers.stripe.client import STRIPE_VERSION, StripeConfig
from providers.stripe.gateway import StripeGateway
from providers.stripe.notifications import StripeWebhooks, verify_stripe

__all__ = ["STRIPE_VERSION", "StripeConfig", "StripeGateway", "StripeWebhooks", "verify_stripe"]
