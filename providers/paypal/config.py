"""PayPal's settings."""

from typing import ClassVar, Final

from pydantic import Field, SecretStr

from payments.payment import Provider
from process.sections import ProviderSection, Seconds

NAME: Final = Provider("paypal")


class PayPalConfig(ProviderSection):
    """PayPal, or the simulator when the base URL points there."""

    simulated: ClassVar = {
        "PAYMENTS_PAYPAL_CLIENT_ID": "simulator",
        "PAYMENTS_PAYPAL_CLIENT_SECRET": "simulator",
    }
    simulated_webhooks: ClassVar = {"PAYMENTS_PAYPAL_WEBHOOK_ID": "SIMULATOR"}

    base_url: str = Field(
        default="https://api-m.paypal.com", validation_alias="PAYMENTS_PAYPAL_BASE_URL"
    )
    client_id: str = Field(default="", validation_alias="PAYMENTS_PAYPAL_CLIENT_ID")
    client_secret: SecretStr = Field(
        default=SecretStr(""), validation_alias="PAYMENTS_PAYPAL_CLIENT_SECRET"
    )
    timeout_seconds: Seconds = Field(default=10.0, validation_alias="PAYMENTS_PAYPAL_TIMEOUT")
    # What is charged when a payment's metadata names no payment method: a token of PayPal's vault,
    # which gives them for consenting payers. The simulator takes any; PayPal declines with one it
    # never gave.
    vault_id: str = Field(default="test-payer", validation_alias="PAYMENTS_PAYPAL_VAULT_ID")
    # PayPal's id of our webhook, without which it verifies nothing; empty, nothing is taken.
    webhook_id: str = Field(default="", validation_alias="PAYMENTS_PAYPAL_WEBHOOK_ID")

    @property
    def webhook_key(self) -> str:
        return self.webhook_id

    @property
    def credentials(self) -> str:
        return f"{self.client_id}:{self.client_secret.get_secret_value()}" if self.client_id else ""
