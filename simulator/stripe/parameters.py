"""The parameters Stripe's PaymentIntents take: any other is refused by name."""

from __future__ import annotations

from typing import Final

ECHOED_TEXTS: Final = (
    "customer",
    "description",
    "on_behalf_of",
    "receipt_email",
    "return_url",
    "statement_descriptor",
    "statement_descriptor_suffix",
    "transfer_group",
)
_IGNORED: Final = (
    "amount_details",
    "application_fee_amount",
    "automatic_payment_methods",
    "confirmation_token",
    "customer_account",
    "error_on_requires_action",
    "excluded_payment_method_types",
    "hooks",
    "mandate",
    "mandate_data",
    "off_session",
    "payment_details",
    "payment_method_configuration",
    "payment_method_options",
    "radar_options",
    "transfer_data",
    "use_stripe_sdk",
)
CREATE: Final = frozenset(
    (
        "allowed_payment_method_types",
        "amount",
        "capture_method",
        "confirm",
        "confirmation_method",
        "currency",
        "expand",
        "metadata",
        "payment_method",
        "payment_method_data",
        "payment_method_types",
        "setup_future_usage",
        "shipping",
        *ECHOED_TEXTS,
        *_IGNORED,
    )
)
CONFIRM: Final = (CREATE - {"amount", "currency", "confirm", "metadata", "customer"}) | {
    "amount_to_confirm"
}
# Any time, and as long as nothing was held or taken.
_UPDATE_ALWAYS: Final = frozenset(
    ("description", "expand", "metadata", "receipt_email", "shipping")
)
UPDATE_BEFORE: Final = (
    "amount",
    "capture_method",
    "currency",
    "customer",
    "payment_method",
    "payment_method_data",
    "payment_method_types",
    "setup_future_usage",
)
UPDATE: Final = _UPDATE_ALWAYS | {
    *UPDATE_BEFORE,
    "allowed_payment_method_types",
    "amount_details",
    "application_fee_amount",
    "customer_account",
    "excluded_payment_method_types",
    "hooks",
    "payment_details",
    "payment_method_configuration",
    "payment_method_options",
    "statement_descriptor",
    "statement_descriptor_suffix",
    "transfer_data",
    "transfer_group",
}
CAPTURE: Final = frozenset(
    (
        "amount_details",
        "amount_to_capture",
        "application_fee_amount",
        "expand",
        "final_capture",
        "hooks",
        "metadata",
        "payment_details",
        "statement_descriptor",
        "statement_descriptor_suffix",
        "transfer_data",
    )
)
CANCEL: Final = frozenset(("cancellation_reason", "expand"))
