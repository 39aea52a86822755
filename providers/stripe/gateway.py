"""The Gateway of Stripe: what is asked, as PaymentIntents and refunds.

Every POST carries the caller's idempotency key, and every object the payment id (a refund
its refund id too) in its metadata, which is how an unanswered call is found again.
Source: docs.stripe.com/api/payment_intents, docs.stripe.com/api/refunds.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from functools import partial
from itertools import islice
from typing import Final, assert_never

from payments.outcome import (
    Declined,
    Finding,
    InquiryOutcome,
    NotFound,
    Operation,
    Outcome,
    Retriable,
    Unknown,
)
from providers.gateway import (
    Capabilities,
    CaptureRequest,
    ChargeRequest,
    Inquiry,
    Look,
    RefundRequest,
    StandingQuery,
    Trouble,
    VoidRequest,
)
from providers.stripe.amounts import StripeAmount, to_stripe
from providers.stripe.answers import (
    CONTRADICTIONS,
    ObjectT,
    captured,
    confirmed,
    decided,
    refunded,
    voided,
)
from providers.stripe.client import StripeClient, segment
from providers.stripe.config import NAME, StripeConfig
from providers.stripe.inquiry import (
    INTENTS,
    REFUNDS,
    Nothing,
    find_intents,
    find_refunds,
    find_refunds_of,
    read_intent,
)
from providers.stripe.objects import Intent, Refund
from providers.stripe.rules import RULES
from providers.stripe.standing import look
from providers.stripe.unconfirmed import settled
from providers.transport import CONNECTIONS

# docs.stripe.com/api/metadata. What does not fit is left out: a payment must not fail because
# of a note its customer attached.
_METADATA_KEYS_MAX: Final = 50
_METADATA_KEY_LENGTH_MAX: Final = 40
_METADATA_VALUE_LENGTH_MAX: Final = 500
_DESCRIPTION_LENGTH_MAX: Final = 1000
_REFUND_REASONS: Final = frozenset({"duplicate", "fraudulent", "requested_by_customer"})

# "At least 24 hours", docs.stripe.com/api/idempotent_requests.
CAPABILITIES: Final = Capabilities(rules=RULES, key_window_s=24 * 3600.0)


class StripeGateway:
    """One Stripe account. Made inside a running event loop."""

    name: Final = NAME
    capabilities: Final = CAPABILITIES

    def __init__(
        self,
        config: StripeConfig,
        connections: int = CONNECTIONS,
        now: Callable[[], float] = time.time,
    ) -> None:
        """`now` is in Unix seconds."""
        self._client = StripeClient(config, connections)
        self._now = now
        self._default_payment_method = config.default_payment_method

    async def charge(self, request: ChargeRequest) -> Outcome:
        asked = to_stripe(request.amount)
        operation = Operation.CHARGE if request.capture else Operation.AUTHORIZE
        fields = self._charge_fields(request, asked)
        intent = await self._client.post(request, INTENTS, fields, Intent)
        return _outcome(intent, partial(confirmed, operation, asked))

    async def capture(self, request: CaptureRequest) -> Outcome:
        asked = to_stripe(request.amount)
        judge = partial(captured, asked)
        path = f"{INTENTS}/{segment(request.provider_reference)}/capture"
        fields = {"amount_to_capture": asked.value}
        outcome = _outcome(await self._client.post(request, path, fields, Intent), judge)
        if _is_contradiction(outcome):
            intent = await read_intent(self._client, request, request.provider_reference)
            return _resolved(outcome, intent, judge)
        return outcome

    async def void(self, request: VoidRequest) -> Outcome:
        path = f"{INTENTS}/{segment(request.provider_reference)}/cancel"
        outcome = _outcome(await self._client.post(request, path, {}, Intent), voided)
        if _is_contradiction(outcome):
            intent = await read_intent(self._client, request, request.provider_reference)
            return _resolved(outcome, intent, voided)
        return outcome

    async def refund(self, request: RefundRequest) -> Outcome:
        asked = to_stripe(request.amount)
        judge = partial(refunded, asked)
        fields = _refund_fields(request, asked)
        outcome = _outcome(await self._client.post(request, REFUNDS, fields, Refund), judge)
        if _is_contradiction(outcome):
            refunds = await find_refunds_of(
                self._client, request, request.provider_reference, str(request.refund_id)
            )
            return _resolved(outcome, refunds, judge)
        return outcome

    async def inquire(self, inquiry: Inquiry) -> InquiryOutcome:
        asked = to_stripe(inquiry.amount)
        match inquiry.operation:
            case Operation.CHARGE | Operation.AUTHORIZE as operation:
                intents = await find_intents(self._client, inquiry)
                if isinstance(intents, list):
                    intents = await settled(self._client, inquiry, intents, self._now())
                return _finding(intents, partial(confirmed, operation, asked))
            case Operation.CAPTURE:
                return _finding(await find_intents(self._client, inquiry), partial(captured, asked))
            case Operation.VOID:
                return _finding(await find_intents(self._client, inquiry), voided)
            case Operation.REFUND:
                refunds = await find_refunds(self._client, inquiry)
                return _finding(refunds, partial(refunded, asked))
            case _:
                assert_never(inquiry.operation)

    async def look(self, query: StandingQuery) -> Look:
        return await look(self._client, query)

    async def aclose(self) -> None:
        await self._client.aclose()

    def _charge_fields(self, request: ChargeRequest, asked: StripeAmount) -> dict[str, str | int]:
        fields: dict[str, str | int] = {
            "amount": asked.value,
            "currency": asked.currency,
            "confirm": "true",
            **_absent(request),
            "capture_method": "automatic" if request.capture else "manual",
            "payment_method": request.payment_method or self._default_payment_method,
            "payment_method_types[0]": "card",
            **_metadata(request.metadata, {"payment_id": str(request.payment_id)}),
        }
        if request.description:
            fields["description"] = request.description[:_DESCRIPTION_LENGTH_MAX]
        return fields


def _absent(request: ChargeRequest) -> dict[str, str | int]:
    """That the payer is not here: a card that wants authentication is a decline, at once.

    A method that is attached to a customer needs that customer, and is charged off session.
    Source: docs.stripe.com/api/payment_intents/create.
    """
    if request.customer is None:
        return {"error_on_requires_action": "true"}
    return {"customer": request.customer, "off_session": "true"}


def _refund_fields(request: RefundRequest, asked: StripeAmount) -> dict[str, str | int]:
    ids = {"payment_id": str(request.payment_id), "refund_id": str(request.refund_id)}
    fields: dict[str, str | int] = {
        "payment_intent": request.provider_reference,
        "amount": asked.value,
    }
    if request.reason is None:
        return fields | _metadata({}, ids)
    if request.reason in _REFUND_REASONS:
        return fields | {"reason": request.reason} | _metadata({}, ids)
    return fields | _metadata({"reason": request.reason[:_METADATA_VALUE_LENGTH_MAX]}, ids)


def _metadata(theirs: Mapping[str, str], ours: Mapping[str, str]) -> dict[str, str | int]:
    """The customer's entries as far as Stripe takes them, and ours above all."""
    fitting = (
        (key, value)
        for key, value in theirs.items()
        if key not in ours
        and key != "payment_method"
        and 0 < len(key) <= _METADATA_KEY_LENGTH_MAX
        and not set(key) & set("[]")
        and 0 < len(value) <= _METADATA_VALUE_LENGTH_MAX
    )
    kept = islice(fitting, _METADATA_KEYS_MAX - len(ours))
    return {f"metadata[{key}]": value for key, value in (*kept, *ours.items())}


def _outcome(
    answer: ObjectT | Declined | Retriable | Unknown, judge: Callable[[ObjectT], Finding]
) -> Declined | Outcome:
    """The outcome of a call that was to change the object it was answered with."""
    if isinstance(answer, Declined | Retriable | Unknown):
        return answer
    verdict = judge(answer)
    if isinstance(verdict, NotFound):
        return Unknown(Trouble.UNEXPECTED_STATUS, "answered as if nothing had been asked")
    return verdict


def _finding(
    found: list[ObjectT] | Nothing, judge: Callable[[ObjectT], Finding]
) -> Finding | Retriable:
    """The outcome of an inquiry."""
    return decided(found, judge) if isinstance(found, list) else found


def _is_contradiction(outcome: Outcome) -> bool:
    return isinstance(outcome, Declined) and outcome.code in CONTRADICTIONS


def _resolved(
    declined: Outcome, found: list[ObjectT] | Nothing, judge: Callable[[ObjectT], Finding]
) -> Outcome:
    """What a refusal for the object's state means, once its state has been read.

    The state may be the work of this very request, sent before. As long as it cannot be
    read that remains possible, and only `Unknown` is true.
    """
    match _finding(found, judge):
        case NotFound():
            return declined
        case Retriable(code, message):
            return Unknown(code, message)
        case outcome:
            return outcome
