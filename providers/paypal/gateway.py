"""The Gateway of PayPal: an order is created, then captured or authorized, each once per key.

Every order carries the payment id and every refund the refund id as its `custom_id`.
Source: developer.paypal.com/docs/api/orders/v2, developer.paypal.com/docs/api/payments/v2.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Final, assert_never

from payments.outcome import (
    Declined,
    Finding,
    InquiryOutcome,
    NotFound,
    Operation,
    Outcome,
    Retriable,
    Succeeded,
    Unknown,
)
from payments.record import replace
from providers.gateway import (
    AnyRequest,
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
from providers.paypal.answers import (
    CONTRADICTIONS,
    LET_GO,
    authorized,
    capture_made,
    captured,
    refund_made,
    refunded,
    voided,
)
from providers.paypal.client import PayPalClient
from providers.paypal.config import NAME, PayPalConfig
from providers.paypal.look import look
from providers.paypal.objects import Kind, Movement, Order, Reference, to_paypal
from providers.paypal.orders import (
    CAPTURES,
    KEY_WINDOW_S,
    ORDERS,
    answered,
    create_order,
    find_order,
    read_order,
    request_id,
    segment,
)
from providers.paypal.rules import RULES
from providers.transport import CONNECTIONS, Answer, Exchange, vendor_text

_AUTHORIZATIONS: Final = "/v2/payments/authorizations"
_NO_CONTENT: Final = 204
_NOTE_LENGTH_MAX: Final = 255
# Troubles that leave a call in doubt which could have no effect anyway.
_HARMLESS_IN_CREATE: Final = frozenset(
    {Trouble.NO_ANSWER, Trouble.SERVER_ERROR, Trouble.UNREADABLE}
)

CAPABILITIES: Final = Capabilities(rules=RULES, key_window_s=KEY_WINDOW_S)

Judge = Callable[[Order], Finding]
Json = Mapping[str, object]


class PayPalGateway:
    """One PayPal merchant. Made inside a running event loop."""

    name: Final = NAME
    capabilities: Final = CAPABILITIES

    def __init__(
        self,
        config: PayPalConfig,
        connections: int = CONNECTIONS,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._client = PayPalClient(config, connections, now)
        self._default_vault_id = config.vault_id
        self._now = now

    async def charge(self, request: ChargeRequest) -> Outcome:
        operation = Operation.CHARGE if request.capture else Operation.AUTHORIZE
        judge = partial(captured if request.capture else authorized, request.amount)
        order = await create_order(self._client, request, operation, request.amount)
        if not isinstance(order, Order):
            return _harmless(order)
        if not isinstance(found := judge(order), NotFound):
            return found  # a repeated call whose first had its effect
        verb = "capture" if request.capture else "authorize"
        path = f"{ORDERS}/{segment(order.id)}/{verb}"
        completed = answered(await self._post(request, path, verb, self._source(request)), Order)
        outcome = judge(completed) if isinstance(completed, Order) else completed
        return await self._settled(request, order.id, outcome, judge)

    async def capture(self, request: CaptureRequest) -> Outcome:
        if (reference := _reference(request.provider_reference, Kind.AUTHORIZATION)) is None:
            return _invalid_reference(Kind.AUTHORIZATION)
        path = f"{_AUTHORIZATIONS}/{segment(reference.id)}/capture"
        body = {"amount": to_paypal(request.amount).model_dump(), "final_capture": True}
        made = answered(await self._post(request, path, "capture", body), Movement)
        order_id = reference.order
        if isinstance(made, Movement):
            return _done(capture_made(request.amount, order_id, made))
        return await self._settled(request, order_id, made, partial(captured, request.amount))

    async def void(self, request: VoidRequest) -> Outcome:
        reference = await self._authorization(request)
        if not isinstance(reference, Reference):
            return reference
        path = f"{_AUTHORIZATIONS}/{segment(reference.id)}/void"
        outcome = _void_made(reference, await self._post(request, path, "void", None))
        if isinstance(outcome, Succeeded) or (
            isinstance(outcome, Declined) and outcome.code in LET_GO
        ):
            # What was taken of it before is told by its order alone.
            judge = partial(voided, reference, is_over=True)
            return _done(await self._read(request, reference.order, judge))
        return await self._settled(request, reference.order, outcome, partial(voided, reference))

    async def refund(self, request: RefundRequest) -> Outcome:
        if (reference := _reference(request.provider_reference, Kind.CAPTURE)) is None:
            return _invalid_reference(Kind.CAPTURE)
        path = f"{CAPTURES}/{segment(reference.id)}/refund"
        body: dict[str, object] = {
            "amount": to_paypal(request.amount).model_dump(),
            "custom_id": str(request.refund_id),
        }
        if request.reason:
            body["note_to_payer"] = request.reason[:_NOTE_LENGTH_MAX]
        made = answered(await self._post(request, path, "refund", body), Movement)
        if isinstance(made, Movement):
            return _done(refund_made(request.amount, made))
        judge = partial(refunded, request.amount, str(request.refund_id))
        return await self._settled(request, reference.order, made, judge)

    async def inquire(self, inquiry: Inquiry) -> InquiryOutcome:
        judge = _judge_of(inquiry)
        if judge is None:
            return Unknown(Trouble.INCONCLUSIVE, "the inquiry does not say what to look for")
        order = await find_order(self._client, inquiry, self._now())
        return judge(order) if isinstance(order, Order) else order

    async def look(self, query: StandingQuery) -> Look:
        return await look(self._client, query)

    async def aclose(self) -> None:
        await self._client.aclose()

    async def _authorization(
        self, request: VoidRequest
    ) -> Reference | Declined | Retriable | Unknown:
        """What is to be voided; of one that was captured in part we know the capture's name."""
        if (reference := Reference.parse(request.provider_reference)) is None:
            return _invalid_reference(Kind.AUTHORIZATION)
        if reference.kind is Kind.AUTHORIZATION:
            return reference
        order = await read_order(self._client, request, reference.order)
        if not isinstance(order, Order):
            return order
        if not order.payments.authorizations:
            return _invalid_reference(Kind.AUTHORIZATION)
        return replace(reference, kind=Kind.AUTHORIZATION, id=order.payments.authorizations[-1].id)

    async def _post(
        self, request: AnyRequest, path: str, step: str, body: Json | None
    ) -> Exchange | Retriable:
        return await self._client.post(
            path, body, request_id=request_id(request, step), traceparent=request.traceparent
        )

    def _source(self, request: ChargeRequest) -> Json:
        wallet: dict[str, object] = {"vault_id": request.payment_method or self._default_vault_id}
        if request.customer:
            wallet["attributes"] = {"customer": {"id": request.customer}}
        return {"payment_source": {"paypal": wallet}}

    async def _settled(
        self, request: AnyRequest, order_id: str, outcome: Finding | Retriable, judge: Judge
    ) -> Outcome:
        """The outcome, or what the order tells when PayPal refused because of its state.

        That state may be the work of this very request, sent before. As long as the order
        cannot be read that remains possible, and only `Unknown` is true.
        """
        if not isinstance(outcome, Declined) or outcome.code not in CONTRADICTIONS:
            return _done(outcome)
        found = await self._read(request, order_id, judge)
        return outcome if isinstance(found, NotFound) else found

    async def _read(self, request: AnyRequest, order_id: str, judge: Judge) -> Finding:
        """What the order tells after a call; that it cannot be read undoes nothing."""
        order = await read_order(self._client, request, order_id)
        match judge(order) if isinstance(order, Order) else order:
            case Retriable(code, message):
                return Unknown(code, message)
            case found:
                return found


def _judge_of(inquiry: Inquiry) -> Judge | None:
    """How the order answers the inquiry; None when the inquiry names too little."""
    match inquiry.operation:
        case Operation.CHARGE | Operation.CAPTURE:
            return partial(captured, inquiry.amount)
        case Operation.AUTHORIZE:
            return partial(authorized, inquiry.amount)
        case Operation.VOID:
            reference = _reference(inquiry.provider_reference or "", Kind.AUTHORIZATION)
            return partial(voided, reference) if reference else None
        case Operation.REFUND:
            if inquiry.refund_id is None or inquiry.provider_reference is None:
                return None
            return partial(refunded, inquiry.amount, str(inquiry.refund_id))
        case _:
            assert_never(inquiry.operation)


def _reference(text: str, kind: Kind) -> Reference | None:
    reference = Reference.parse(text)
    return reference if reference is not None and reference.kind is kind else None


def _invalid_reference(kind: Kind) -> Declined:
    return Declined(Trouble.INVALID_REFERENCE, f"not a reference of a PayPal {kind}")


def _void_made(
    reference: Reference, exchange: Exchange | Retriable
) -> Succeeded | Declined | Retriable | Unknown:
    if isinstance(exchange, Answer) and exchange.status == _NO_CONTENT:
        return Succeeded(str(reference))
    made = answered(exchange, Movement)
    if not isinstance(made, Movement):
        return made
    if made.status == "VOIDED":
        return Succeeded(str(reference))
    return Unknown(Trouble.UNEXPECTED_STATUS, f"status {vendor_text(made.status)!r}")


def _done(outcome: Finding | Retriable) -> Outcome:
    """The outcome of a call that was to change what it was answered with."""
    if isinstance(outcome, NotFound):
        return Unknown(Trouble.UNEXPECTED_STATUS, "answered as if nothing had been asked")
    return outcome


def _harmless(outcome: Declined | Retriable | Unknown) -> Outcome:
    """Why there is no order: since making one moves no money, silence is no doubt.

    Except where PayPal says that another request of ours is, or was, at work.
    """
    if isinstance(outcome, Unknown) and outcome.code in _HARMLESS_IN_CREATE:
        return Retriable(outcome.code, outcome.message)
    return outcome
