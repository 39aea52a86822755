"""Test payment methods, test card numbers and magic amounts: what the issuer will say.

A payment method that succeeds is still declined at a magic amount, so that a client which
cannot choose the card can reach every decline. Sources: docs.stripe.com/testing for methods
and numbers; the magic amounts are this simulator's own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from simulator.stripe.records import Decline


@dataclass(frozen=True, slots=True)
class Card:
    """A test card: brand and last digits for show, and how its issuer and refunds behave."""

    brand: str = "visa"
    last4: str = "4242"
    decline: Decline | None = None
    needs_action: bool = False
    refund_status: str = "succeeded"


def _declined(decline_code: str, message: str, code: str = "card_declined") -> Decline:
    return Decline(code=code, decline_code=decline_code, message=message)


GENERIC: Final = _declined("generic_decline", "Your card was declined.")
INSUFFICIENT_FUNDS: Final = _declined("insufficient_funds", "Your card has insufficient funds.")
LOST: Final = _declined("lost_card", "Your card was declined.")
STOLEN: Final = _declined("stolen_card", "Your card was declined.")
FRAUDULENT: Final = _declined("fraudulent", "Your card was declined.")
EXPIRED: Final = _declined("expired_card", "Your card has expired.", "expired_card")
CVC: Final = _declined("incorrect_cvc", "Your card's security code is incorrect.", "incorrect_cvc")
PROCESSING: Final = _declined(
    "processing_error",
    "An error occurred while processing your card. Try again in a little bit.",
    "processing_error",
)
VELOCITY: Final = _declined(
    "card_velocity_exceeded",
    "Your card was declined for making repeated attempts too frequently or exceeding its "
    "amount limit.",
)
AUTHENTICATION: Final = _declined(
    "authentication_required",
    "Your card was declined. This transaction requires authentication.",
    "authentication_required",
)

NOT_HANDLED: Final = _declined(
    "authentication_not_handled",
    "This payment required an authentication action to complete, but `error_on_requires_action` "
    "was set. When you're ready, you can upgrade your integration to handle actions at "
    "https://stripe.com/docs/payments/payment-intents/upgrade-to-handle-actions.",
    "authentication_required",
)

# last4 -> decline; the numbers below and the magic amounts are spelled with these.
_METHODS: Final = {
    "pm_card_visa": Card(),
    "pm_card_visa_debit": Card(last4="5556"),
    "pm_card_mastercard": Card("mastercard", "4444"),
    "pm_card_mastercard_debit": Card("mastercard", "8210"),
    "pm_card_mastercard_prepaid": Card("mastercard", "5100"),
    "pm_card_amex": Card("amex", "8431"),
    "pm_card_discover": Card("discover", "1117"),
    "pm_card_diners": Card("diners", "0004"),
    "pm_card_jcb": Card("jcb", "0505"),
    "pm_card_unionpay": Card("unionpay", "0005"),
    "pm_card_us": Card(),
    "pm_card_bypassPending": Card(last4="0077"),
    "pm_card_chargeDeclined": Card(last4="0002", decline=GENERIC),
    "pm_card_visa_chargeDeclined": Card(last4="0002", decline=GENERIC),
    "pm_card_chargeCustomerFail": Card(last4="0341", decline=GENERIC),
    "pm_card_chargeDeclinedInsufficientFunds": Card(last4="9995", decline=INSUFFICIENT_FUNDS),
    "pm_card_visa_chargeDeclinedInsufficientFunds": Card(last4="9995", decline=INSUFFICIENT_FUNDS),
    "pm_card_visa_chargeDeclinedLostCard": Card(last4="9987", decline=LOST),
    "pm_card_visa_chargeDeclinedStolenCard": Card(last4="9979", decline=STOLEN),
    "pm_card_chargeDeclinedFraudulent": Card(last4="0019", decline=FRAUDULENT),
    "pm_card_radarBlock": Card(last4="0019", decline=FRAUDULENT),
    "pm_card_chargeDeclinedExpiredCard": Card(last4="0069", decline=EXPIRED),
    "pm_card_chargeDeclinedIncorrectCvc": Card(last4="0127", decline=CVC),
    "pm_card_chargeDeclinedProcessingError": Card(last4="0119", decline=PROCESSING),
    "pm_card_visa_chargeDeclinedVelocityLimitExceeded": Card(last4="6975", decline=VELOCITY),
    "pm_card_authenticationRequired": Card(last4="3184", needs_action=True),
    "pm_card_threeDSecureRequired": Card(last4="3063", needs_action=True),
    "pm_card_threeDSecure2Required": Card(last4="3220", needs_action=True),
    "pm_card_refundFail": Card(last4="5126", refund_status="failed"),
    "pm_card_pendingRefund": Card(last4="7726", refund_status="pending"),
}
_NUMBERS: Final = {
    "4242424242424242": "pm_card_visa",
    "4000056655665556": "pm_card_visa_debit",
    "5555555555554444": "pm_card_mastercard",
    "378282246310005": "pm_card_amex",
    "4000000000000002": "pm_card_visa_chargeDeclined",
    "4000000000009995": "pm_card_visa_chargeDeclinedInsufficientFunds",
    "4000000000009987": "pm_card_visa_chargeDeclinedLostCard",
    "4000000000009979": "pm_card_visa_chargeDeclinedStolenCard",
    "4100000000000019": "pm_card_radarBlock",
    "4000000000000069": "pm_card_chargeDeclinedExpiredCard",
    "4000000000000127": "pm_card_chargeDeclinedIncorrectCvc",
    "4000000000000119": "pm_card_chargeDeclinedProcessingError",
    "4000000000006975": "pm_card_visa_chargeDeclinedVelocityLimitExceeded",
    "4000002760003184": "pm_card_authenticationRequired",
    "4000000000005126": "pm_card_refundFail",
    "4000000000007726": "pm_card_pendingRefund",
}
# ISO minor units, of any currency: 4000.02 USD, 400002 JPY.
MAGIC_AMOUNTS: Final = {
    400002: GENERIC,
    400019: PROCESSING,
    400027: CVC,
    400041: FRAUDULENT,
    400069: EXPIRED,
    400075: VELOCITY,
    400079: STOLEN,
    400087: LOST,
    400095: INSUFFICIENT_FUNDS,
}
SCRIPTED: Final = {
    decline.decline_code: decline for decline in (*MAGIC_AMOUNTS.values(), AUTHENTICATION)
}


def find(payment_method: str) -> Card | None:
    """The test card behind a payment method's id, None for an id nobody issued."""
    return _METHODS.get(payment_method)


def method_of_number(number: str) -> str | None:
    """The payment method of a documented test card number."""
    return _NUMBERS.get(number.replace(" ", ""))
