"""The vendors' official clients, aimed at an address of ours."""

from typing import Any

import stripe
from paypalserversdk.configuration import Configuration, Environment
from paypalserversdk.http.auth.o_auth_2 import ClientCredentialsAuthCredentials
from paypalserversdk.paypal_serversdk_client import PaypalServersdkClient

from tests.integration.simulator.admin import new_id


def stripe_client(url: str, *, retries: int = 0) -> stripe.StripeClient:
    return stripe.StripeClient(
        "sk_test_simulator",
        base_addresses={"api": url},
        max_network_retries=retries,
        http_client=stripe.RequestsClient(timeout=10),
    )


def card_charge(payment_id: str, amount: int = 1000, **more: Any) -> Any:
    """Parameters of a PaymentIntent that charges a card at once."""
    return {
        "amount": amount,
        "currency": "usd",
        "confirm": True,
        "payment_method": "pm_card_visa",
        "automatic_payment_methods": {"enabled": True, "allow_redirects": "never"},
        "metadata": {"payment_id": payment_id},
        **more,
    }


class PayPal:
    """PayPal's server SDK; the SDK knows only PayPal's own hosts, so its table is changed."""

    def __init__(self, url: str) -> None:
        hosts = Configuration.environments[Environment.SANDBOX]
        hosts.update(dict.fromkeys(hosts, url))
        sdk = PaypalServersdkClient(
            client_credentials_auth_credentials=ClientCredentialsAuthCredentials(
                o_auth_client_id="client", o_auth_client_secret="secret"
            ),
            environment=Environment.SANDBOX,
            timeout=10,
        )
        self.orders = sdk.orders
        self.payments = sdk.payments

    def create(self, body: Any, request_id: str | None = None, prefer: str = "") -> Any:
        options = {
            "body": body,
            "paypal_request_id": request_id or new_id(),
            "prefer": prefer or "return=representation",
        }
        return self.orders.create_order(options)


def order_body(payment_id: str, value: str = "12.50", currency: str = "USD", **more: Any) -> Any:
    """An order paid at once by a vaulted card."""
    return {
        "intent": "CAPTURE",
        "purchase_units": [
            {
                "custom_id": payment_id,
                "invoice_id": payment_id,
                "amount": {"currency_code": currency, "value": value},
            }
        ],
        "payment_source": {"card": {"vault_id": "vaulted"}},
        **more,
    }
