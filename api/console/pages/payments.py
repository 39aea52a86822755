"""Payments: the list with its filters, and the search by whatever names one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from api.access.scopes import Scope
from api.console.page import page
from api.console.visit import see_other
from api.contract.requests.fields import parse_uuid
from api.http.problems import INVALID_REQUEST, FieldError, Problem, invalid
from api.routes.payments import list_payments
from payments.money import AmountError, CurrencyError, parse_amount
from payments.payment import PaymentStatus
from store.read.payments import PaymentFilters, made_under_key, payment_by_id, payments_page
from store.read.refunds import refund_by_id

if TYPE_CHECKING:
    from uuid import UUID

    from asyncpg.pool import PoolConnectionProxy

    from api.console.visit import Shown, Visit
    from store.write.group_commit import Answer

_STATUSES: Final = tuple(status.value for status in PaymentStatus)
_NONE: Final[Shown] = {"data": [], "next_cursor": None}


async def show_payments(visit: Visit) -> Answer:
    try:
        page, refused, status = await visit.ask(list_payments, _sought(visit)), "", 200
    except Problem as problem:
        if problem.kind is not INVALID_REQUEST:
            raise
        page, refused, status = _NONE, problem.detail, problem.kind.status
    return visit.page("payments.html", status, page=page, statuses=_STATUSES, refused=refused)


async def find_payment(visit: Visit) -> Answer:
    """To what is named: by its id, by an idempotency key, or by its provider's name for it."""
    sought = visit.request.query.get("q", "").strip()
    async with visit.database() as connection:
        found = await _found(connection, visit.tenant_id, sought)
    if found is not None:
        return see_other(f"/console/payments/{found}")
    return visit.page("not_found.html", 404, sought=sought)


async def _found(connection: PoolConnectionProxy, tenant_id: str, sought: str) -> UUID | None:
    # A key may look like an id, and mostly does.
    named = filter(None, (parse_uuid(sought),))
    for each in (*named, *await made_under_key(connection, tenant_id, sought)):
        if await payment_by_id(connection, tenant_id, each):
            return each
        if refund := await refund_by_id(connection, tenant_id, each):
            return refund.payment_id
    by_reference = PaymentFilters(provider_transaction_id=sought)
    page = await payments_page(connection, tenant_id, by_reference, before=None, limit=1)
    return page.items[0].id if page.items else None


def _sought(visit: Visit) -> dict[str, str]:
    """What the API takes of the filters: an amount in minor units. Raises Problem."""
    sought = dict(visit.parameters)
    amount = sought.pop("amount", None)
    if amount is not None:
        currency = sought.get("currency", "")
        if not currency:
            raise invalid(FieldError("needs a currency", parameter="amount"))
        try:
            sought["amount_minor"] = str(parse_amount(amount, currency).amount_minor)
        except (AmountError, CurrencyError) as error:
            raise invalid(FieldError(str(error), parameter="amount")) from None
    return sought


PAGES: Final = (
    page("/console/payments", show_payments, Scope.PAYMENTS_READ, "Payments, newest first."),
    page("/console/search", find_payment, Scope.PAYMENTS_READ, "To the payment that is named."),
)
