"""Stripe: payments as PaymentIntents, confirmed in the call that creates them.

Source throughout: docs.stripe.com/api, version `client.STRIPE_VERSION`. A `provider_reference`
is the PaymentIntent's id (`pi_...`), for a refund the refund's (`re_...`).
"""

from providers.stripe.config import NAME
from providers.stripe.config import StripeConfig as Config
from providers.stripe.events import EVENT_TYPES
from providers.stripe.gateway import StripeGateway as Gateway
from providers.stripe.notifications import StripeWebhooks as Notifications
from providers.stripe.objects import REFERENCE
from providers.stripe.rules import RULES

__all__ = ["EVENT_TYPES", "NAME", "REFERENCE", "RULES", "Config", "Gateway", "Notifications"]
