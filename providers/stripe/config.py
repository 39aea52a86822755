"""Stripe's settings."""

from typing import ClassVar, Final

from pydantic import Field, SecretStr

from payments.payment import Provider
from process.sections import ProviderSection, Seconds

NAME: Final = Provider("stripe")


class StripeConfig(ProviderSection):
    """Stripe, or the simulator when the base URL points there."""

    simulated: ClassVar = {"PAYMENTS_STRIPE_API_KEY": "sk_test_simulator"}
    simulated_webhooks: ClassVar = {"PAYMENTS_STRIPE_WEBHOOK_SECRET": "whsec_simulator"}

    base_url: str = Field(
        default="https://api.stripe.com", validation_alias="PAYMENTS_STRIPE_BASE_URL"
    )
    api_key: SecretStr = Field(default=SecretStr(""), validation_alias="PAYMENTS_STRIPE_API_KEY")
    timeout_seconds: Seconds = Field(default=10.0, validation_alias="PAYMENTS_STRIPE_TIMEOUT")
    # What is charged when a payment's metadata names no payment method: a test card in test mode.
    default_payment_method: str = Field(
        default="pm_card_visa", validation_alias="PAYMENTS_STRIPE_DEFAULT_PAYMENT_METHOD"
    )
    # Signs what Stripe posts to our webhook endpoint; empty, nothing is taken from it.
    webhook_secret: SecretStr = Field(
        default=SecretStr(""), validation_alias="PAYMENTS_STRIPE_WEBHOOK_SECRET"
    )

    @property
    def webhook_key(self) -> str:
        return self.webhook_secret.get_secret_value()

    @property
    def credentials(self) -> str:
        return self.api_key.get_secret_value()
