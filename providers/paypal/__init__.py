"""PayPal: payments as Orders v2, captured, voided and refunded through Payments v2.

Source throughout: developer.paypal.com/docs/api/orders/v2 and .../payments/v2. A
`provider_reference` is `<order>/authorization/<id>` while a payment is authorized and
`<order>/capture/<id>` once it is captured; for a refund it is PayPal's refund id.
"""

from providers.paypal.client import PayPalClient, PayPalConfig
from providers.paypal.gateway import PayPalGateway
from providers.paypal.notifications import PayPalWebhooks, verify_paypal

__all__ = ["PayPalClient", "PayPalConfig", "PayPalGateway", "PayPalWebhooks", "verify_paypal"]
