"""A payment: what it is, what happened for it everywhere, and what can be done to it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from api.access.scopes import Scope
from api.console.actions import Action
from api.console.page import page
from api.console.routes_of import operation
from api.contract.responses.payments import SHOWN_MAX
from api.http.problems import PAYMENT_NOT_FOUND, Problem
from api.routes.payment_details import get_payment
from payments.money import format_amount
from store.read.payment_trail import payment_trail
from store.read.payments import payment_in_detail

if TYPE_CHECKING:
    from collections.abc import Iterable

    from api.console.visit import Shown, Visit
    from store.read.payment_trail import PaymentTrail
    from store.write.group_commit import Answer

# A traceparent: version, trace, span, flags.
_TRACE: Final = 1


async def show_payment(visit: Visit) -> Answer:
    payment = await visit.ask(get_payment, {"expand": "events"})
    trail = await _trail(visit)
    return visit.page(
        "payment.html",
        payment=payment,
        trail=trail,
        transfers=[(line, format_amount(line.amount_minor, line.currency))
                   for line in trail.transfers],
        steps=_steps(payment, trail),
        trace_id=_trace_id(trail),
        actions=[each for each in ACTIONS if _is_offered(visit, payment, each)],
    )  # fmt: skip


async def payment_of(visit: Visit) -> Shown:
    """The payment of the path, as the API shows it."""
    return await visit.ask(get_payment, {})


async def _trail(visit: Visit) -> PaymentTrail:
    payment_id = visit.path_id(PAYMENT_NOT_FOUND)
    async with visit.database() as connection:
        found = await payment_in_detail(
            connection, visit.tenant_id, payment_id, with_events=True, limit=SHOWN_MAX
        )
        if found is None:
            raise Problem(PAYMENT_NOT_FOUND, f"there is no payment {payment_id}")
        return await payment_trail(connection, found)


def _steps(payment: Shown, trail: PaymentTrail) -> list[Shown]:
    """Changes and tries in one order, the newest first; a change with its message."""
    messages = {str(event_id): message for event_id, message in trail.messages.items()}
    changes = [
        {"at": event["occurred_at"], "event": event, "message": messages.get(event["id"])}
        for event in payment["events"] or ()
    ]
    tries = [{"at": attempt["started_at"], "attempt": attempt} for attempt in payment["attempts"]]
    return sorted((*changes, *tries), key=lambda step: step["at"], reverse=True)


def _trace_id(trail: PaymentTrail) -> str | None:
    parents: Iterable[str] = (
        each.traceparent for each in trail.messages.values() if each.traceparent
    )
    return next((parent.split("-")[_TRACE] for parent in parents), None)


def _is_offered(visit: Visit, payment: Shown, action: Action) -> bool:
    """Whether it is worth offering; whether it is done is decided when it is asked for."""
    status = payment["status"]
    assert isinstance(action.of.scope, Scope), "nothing is done by everyone"
    if not visit.may(action.of.scope.value):
        return False
    match action.name:
        case "refund_payment":
            return bool(float(payment["refundable"]))
        case "capture_payment":
            return bool(status == "authorized")
        case "cancel_payment":
            return status in {"pending", "authorized"}
        case _:
            return status in {"unknown", "review"}


def _action(name: str, title: str, template: str = "", *, is_grave: bool = False) -> Action:
    return Action(
        of=operation(name),
        title=title,
        template=template or f"{name}.html",
        subject=payment_of,
        back="/console/payments/{id}",
        is_grave=is_grave,
    )


ACTIONS: Final = (
    _action("refund_payment", "Refund"),
    _action("capture_payment", "Capture"),
    _action("cancel_payment", "Cancel payment", "about_payment.html", is_grave=True),
    _action("resolve_payment", "Resolve", is_grave=True),
)

PAGES: Final = (
    page(
        "/console/payments/{id}",
        show_payment,
        Scope.PAYMENTS_READ,
        "A payment, and what happened for it.",
    ),
    *(route for action in ACTIONS for route in action.routes()),
)
