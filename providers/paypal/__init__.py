"""PayPal: payments as Orders v2, captured, voided and refunded through Payments v2.

Source throughout: developer.paypal.com/docs/api/orders/v2 and .../payments/v2. A
`provider_reference` is `<order>/authorization/<id>` while a payment is authorized and
`<order>/capture/<id>` once it is captured; for a refund it is PayPal's refund id.
"""

from providers.paypal.config import NAME
from providers.paypal.config import PayPalConfig as Config
from providers.paypal.events import EVENT_TYPES
from providers.paypal.gateway import PayPalGateway as Gateway
from providers.paypal.notifications import PayPalWebhooks as Notifications
from providers.paypal.objects import REFERENCE
from providers.paypal.rules import RULES

__all__ = ["EVENT_TYPES", "NAME", "REFERENCE", "RULES", "Config", "Gateway", "Notifications"]
