"""The vendors' official clients, aimed at an address of ours."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import requests
import stripe
from paypalserversdk.configuration import (  # type: ignore[import-untyped]  # it ships no types
    Configuration,
    Environment,
)
from paypalserversdk.http.auth.o_auth_2 import (  # type: ignore[import-untyped]  # it ships no types
    ClientCredentialsAuthCredentials,
)
from paypalserversdk.paypal_serversdk_client import (  # type: ignore[import-untyped]  # it ships no types
    PaypalServersdkClient,
)

from tests.support.simulator.admin import new_id

# Parameters and answers of the SDKs: their own types cannot be built or varied piecemeal.
Json: TypeAlias = Any


def stripe_client(
    url: str, *, retries: int = 0, key: str = "sk_test_simulator"
) -> stripe.StripeClient:
    return stripe.StripeClient(
        key,
        base_addresses={"api": url},
        max_network_retries=retries,
        http_client=stripe.RequestsClient(timeout=10),
    )


def card_charge(payment_id: str, amount: int = 1000, **more: Json) -> Json:
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
                o_auth_client_id="simulator", o_auth_client_secret="simulator"
            ),
            environment=Environment.SANDBOX,
            timeout=10,
        )
        self.orders = sdk.orders
        self.payments = sdk.payments

    def create(self, body: Json, request_id: str | None = None, prefer: str = "") -> Json:
        options = {
            "body": body,
            "paypal_request_id": request_id or new_id(),
            "prefer": prefer or "return=representation",
        }
        return self.orders.create_order(options)


def order_body(payment_id: str, value: str = "12.50", currency: str = "USD", **more: Json) -> Json:
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


def paypal_bearer(url: str) -> dict[str, str]:
    """An Authorization header for what the SDK does not cover."""
    answer = requests.post(
        f"{url}/v1/oauth2/token",
        auth=("simulator", "simulator"),
        data={"grant_type": "client_credentials"},
        timeout=5,
    )
    return {"Authorization": f"Bearer {answer.json()['access_token']}"}


@dataclass(frozen=True, slots=True)
class PayPalHooks:
    """PayPal's webhook API, which the SDK leaves out."""

    url: str
    bearer: dict[str, str]

    def register(self, url: str, event_type: str) -> str:
        answer = self._post("webhooks", {"url": url, "event_types": [{"name": event_type}]})
        return str(answer["id"])

    def remove(self, webhook_id: str) -> None:
        answer = requests.delete(
            f"{self.url}/v1/notifications/webhooks/{webhook_id}", headers=self.bearer, timeout=5
        )
        answer.raise_for_status()

    def verdict(self, headers: Mapping[str, str], webhook_id: str, event: Json) -> str:
        """What PayPal says about a notification that claims to be its own."""
        named = ("Auth-Algo", "Cert-Url", "Transmission-Id", "Transmission-Sig",
                 "Transmission-Time")  # fmt: skip
        question = {name.lower().replace("-", "_"): headers[f"Paypal-{name}"] for name in named}
        asked = {**question, "webhook_id": webhook_id, "webhook_event": event}
        return str(self._post("verify-webhook-signature", asked)["verification_status"])

    def _post(self, path: str, body: Json) -> Json:
        answer = requests.post(
            f"{self.url}/v1/notifications/{path}", json=body, headers=self.bearer, timeout=5
        )
        answer.raise_for_status()
        return answer.json()
