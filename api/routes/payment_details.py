"""A payment in detail: the newest of its refunds, attempts and changes, and lists of them all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from api.access.scopes import Scope
from api.contract.requests.queries import PageQuery, PaymentQuery
from api.contract.responses.answers import HistoryPage, Page, json_answer
from api.contract.responses.payments import (
    SHOWN_MAX,
    AttemptResponse,
    PaymentDetailResponse,
    PaymentEventResponse,
)
from api.contract.responses.refunds import RefundResponse
from api.contract.route import Route, Success
from api.handling.cursors import BY_ID, BY_ID_AND_NUMBER, BY_NUMBER
from api.handling.lists import Listing
from api.handling.unfinished import waiting_for
from api.http.problems import PAYMENT_NOT_FOUND, Problem
from store.read.payment_history import (
    AttemptsOf,
    EventsOf,
    RefundsOf,
    archived_at,
    attempts_page,
    events_page,
    refunds_page,
)
from store.read.payments import payment_by_id, payment_in_detail

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from api.handling.call import Call
    from payments.payment import Payment
    from store.write.group_commit import Answer


async def get_payment(call: Call) -> Answer:
    payment_id, query = call.path_id(PAYMENT_NOT_FOUND), call.query(PaymentQuery)
    async with call.database() as connection:
        found = await payment_in_detail(
            connection,
            call.tenant_id,
            payment_id,
            with_events=query.expand == "events",
            limit=SHOWN_MAX + 1,
        )
        waiting = await waiting_for(connection, found) if found else None
    if found is None:
        raise _not_found(payment_id)
    refunds = _REFUNDS.shown(found.refunds, SHOWN_MAX, RefundsOf(payment_id))
    attempts = _ATTEMPTS.shown(found.attempts, SHOWN_MAX, AttemptsOf(payment_id))
    events = None
    if found.events is not None:
        events = _EVENTS.shown(found.events, SHOWN_MAX, EventsOf(payment_id, found.payment))
    return json_answer(
        200,
        PaymentDetailResponse.detailed(
            found.payment,
            waiting,
            attempts=attempts,
            refunds=refunds,
            events=events,
            history_archived_at=found.history_archived_at,
        ),
    )


async def list_payment_refunds(call: Call) -> Answer:
    query = call.query(PageQuery)
    payment, _ = await _existing(call)
    return await _REFUNDS.answer(call, query, RefundsOf(payment.id))


async def list_payment_attempts(call: Call) -> Answer:
    query = call.query(PageQuery)
    payment, archived = await _existing(call)
    return await _ATTEMPTS.answer(call, query, AttemptsOf(payment.id), archived_at=archived)


async def list_payment_events(call: Call) -> Answer:
    query = call.query(PageQuery)
    payment, archived = await _existing(call)
    of = EventsOf(payment.id, payment)
    return await _EVENTS.answer(call, query, of, archived_at=archived)


async def _existing(call: Call) -> tuple[Payment, datetime | None]:
    """The payment of the path, and when its history was archived. Raises Problem."""
    payment_id = call.path_id(PAYMENT_NOT_FOUND)
    async with call.database() as connection:
        payment = await payment_by_id(connection, call.tenant_id, payment_id)
        if payment is None:
            raise _not_found(payment_id)
        return payment, await archived_at(connection, payment_id)


def _not_found(payment_id: UUID) -> Problem:
    return Problem(PAYMENT_NOT_FOUND, f"there is no payment {payment_id}")


_REFUNDS: Final = Listing(
    read=refunds_page,
    order=BY_ID,
    position=lambda refund: refund.id,
    page=Page[RefundResponse],
    row=RefundResponse.of,
)
_ATTEMPTS: Final = Listing(
    read=attempts_page,
    order=BY_ID_AND_NUMBER,
    position=lambda record: record.position,
    page=HistoryPage[AttemptResponse],
    row=AttemptResponse.of,
)
_EVENTS: Final = Listing(
    read=events_page,
    order=BY_NUMBER,
    position=lambda event: event.version,
    page=HistoryPage[PaymentEventResponse],
    row=PaymentEventResponse.of,
)

ROUTES: Final = (
    Route(
        method="GET",
        path="/api/v1/payments/{id}",
        handler=get_payment,
        scope=Scope.PAYMENTS_READ,
        summary="A payment with its newest attempts and refunds, and its history if wanted.",
        tag="Payments",
        query=PaymentQuery,
        successes={200: Success("The payment.", PaymentDetailResponse)},
    ),
    Route(
        method="GET",
        path="/api/v1/payments/{id}/refunds",
        handler=list_payment_refunds,
        scope=Scope.PAYMENTS_READ,
        summary="The refunds of a payment, newest first.",
        tag="Payments",
        query=PageQuery,
        successes={200: Success("A page of refunds.", Page[RefundResponse])},
    ),
    Route(
        method="GET",
        path="/api/v1/payments/{id}/attempts",
        handler=list_payment_attempts,
        scope=Scope.PAYMENTS_READ,
        summary="The attempts at a payment's newest refund first, the payment's own last.",
        tag="Payments",
        query=PageQuery,
        successes={200: Success("A page of attempts.", HistoryPage[AttemptResponse])},
    ),
    Route(
        method="GET",
        path="/api/v1/payments/{id}/events",
        handler=list_payment_events,
        scope=Scope.PAYMENTS_READ,
        summary="The history of a payment, newest first.",
        tag="Payments",
        query=PageQuery,
        successes={200: Success("A page of changes.", HistoryPage[PaymentEventResponse])},
    ),
)
