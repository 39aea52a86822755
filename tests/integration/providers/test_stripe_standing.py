"""How a payment stands at Stripe, against a raw server: all of it is read, or nothing is said."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from payments.money import Money
from payments.outcome import NotFound, Retriable, Unknown
from payments.record import replace
from payments.standing import (
    DisputeKind,
    DisputeState,
    FoundCapture,
    FoundDispute,
    FoundRefund,
    FoundState,
    Standing,
)
from providers.gateway import Gateway, Look, StandingQuery
from tests.support.providers import wire
from tests.support.providers.requests import Payment
from tests.support.providers.stripe import (
    MISSING,
    RATE_LIMITED,
    asked_for,
    intent,
    page,
    stripe_at,
)

_CAPTURED_AT = 1_790_000_000
_HOUR_S = 3600
_BY_REFERENCE = StandingQuery(provider_reference="pi_1")


@asynccontextmanager
async def account(
    *intents: dict[str, object], **shown: wire.Behaviour
) -> AsyncIterator[tuple[wire.Wire, Gateway]]:
    """These intents, and what is `shown` by the last word of a path."""
    alone = {str(each["id"]): wire.reply(200, each) for each in intents}
    lists = {"payment_intents": page(*intents), "refunds": page(), "disputes": page()}
    async with wire.serving() as server, stripe_at(server.url) as stripe:
        server.route(**{**alone, **lists, **shown})
        yield server, stripe


async def look(
    by: Payment | StandingQuery, *intents: dict[str, object], **shown: wire.Behaviour
) -> Look:
    query = StandingQuery(payment_id=by.id) if isinstance(by, Payment) else by
    async with account(*intents, **shown) as (_, stripe):
        return await stripe.look(query)


def refund(
    number: int, amount: int, status: str = "succeeded", **more: object
) -> dict[str, object]:
    made = {"id": f"re_{number}", "status": status, "amount": amount, "currency": "usd"}
    return {**made, "created": _CAPTURED_AT + number * _HOUR_S, "metadata": None, **more}


def dispute(status: str, *moved: int, **more: object) -> dict[str, object]:
    transactions = [{"id": "txn_1", "amount": each, "created": 1} for each in moved]
    made = {"id": "dp_1", "status": status, "amount": 5000, "currency": "usd"}
    return {**made, "reason": "fraudulent", "balance_transactions": transactions, **more}


def capture(amount_minor: int = 5000, reference: str = "pi_1") -> FoundCapture:
    return FoundCapture(reference, Money(amount_minor, "USD"))


async def test_refunds_and_disputes_of_all_pages_are_shown_oldest_first() -> None:
    """Ours by its id, others by Stripe's; each by what became of its money."""
    payment = Payment()
    ours = {"refund_id": str(payment.refund_id)}
    refunds = wire.in_turn(
        page(refund(4, 400, "requires_action"), refund(3, 300, "pending"), has_more=True),
        page(
            refund(2, 200, "failed", failure_reason="lost_or_stolen_card"),
            refund(1, 100, metadata=ours, reason="duplicate"),
        ),
    )
    disputes = page(dispute("lost", -5000))
    async with account(intent(payment), refunds=refunds, disputes=disputes) as (server, stripe):
        standing = await stripe.look(StandingQuery(payment_id=payment.id))
    assert standing == Standing(
        payment_id=payment.id,
        captures=(capture(),),
        refunds=(
            FoundRefund(
                "re_1", Money(100, "USD"), FoundState.SUCCEEDED, payment.refund_id, "duplicate"
            ),
            FoundRefund("re_2", Money(200, "USD"), FoundState.FAILED, None, "lost_or_stolen_card"),
            FoundRefund("re_3", Money(300, "USD"), FoundState.PENDING),
            FoundRefund("re_4", Money(400, "USD"), FoundState.PENDING),
        ),
        disputes=(
            FoundDispute(
                "dp_1",
                DisputeKind.DISPUTE,
                Money(5000, "USD"),
                DisputeState.LOST,
                is_withdrawn=True,
                reason="fraudulent",
            ),
        ),
    )
    assert [asked_for(seen).get("payment_intent") for seen in server.seen[1:]] == [["pi_1"]] * 3
    assert asked_for(server.seen[2])["starting_after"] == ["re_3"]


@pytest.mark.parametrize(
    ("shown", "state", "is_withdrawn"),
    [
        (dispute("needs_response", -5000), DisputeState.OPEN, True),
        (dispute("under_review", -5000), DisputeState.OPEN, True),
        # The charge was refunded whole before: nothing is left to withdraw.
        (dispute("needs_response"), DisputeState.OPEN, False),
        (dispute("warning_needs_response"), DisputeState.OPEN, False),
        (dispute("warning_under_review"), DisputeState.OPEN, False),
        (dispute("warning_closed"), DisputeState.WON, False),
        (dispute("won", -5000, 5000), DisputeState.WON, False),
        (dispute("won", -5000), DisputeState.WON, True),
        (dispute("lost", -5000), DisputeState.LOST, True),
        (dispute("prevented"), DisputeState.WON, False),
        (dispute("prevented", -5000), DisputeState.LOST, True),
    ],
)
async def test_a_dispute_is_decided_by_its_status_and_its_money_by_its_transactions(
    shown: dict[str, object], state: DisputeState, *, is_withdrawn: bool
) -> None:
    """A warning takes nothing; what was withdrawn comes back with a transaction of its own."""
    payment = Payment()
    standing = await look(payment, intent(payment), disputes=page(shown))
    assert isinstance(standing, Standing)
    (found,) = standing.disputes
    assert (found.state, found.is_withdrawn) == (state, is_withdrawn)


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        ([("requires_capture", {})], {"is_held": True}),
        ([("processing", {})], {"is_pending": True}),
        ([("requires_confirmation", {})], {"is_pending": True}),
        ([("requires_payment_method", {"last_payment_error": {"type": "card_error"}})], {}),
        ([("canceled", {"cancellation_reason": "automatic"})], {"why_released": "automatic"}),
        ([("succeeded", {})], {"captures": (capture(),)}),
        (
            [("requires_capture", {"amount_received": 2000, "amount_capturable": 3000})],
            {"is_held": True, "captures": (capture(2000),)},
        ),
        # One that was left behind is no longer waited for.
        (
            [("succeeded", {}), ("requires_confirmation", {"id": "pi_2", "created": 2})],
            {"captures": (capture(),)},
        ),
        (
            [("succeeded", {"id": "pi_2", "created": 2}), ("succeeded", {})],
            {"captures": (capture(), capture(reference="pi_2"))},
        ),
    ],
)
async def test_what_is_held_and_taken_is_that_of_every_intent(
    shown: list[tuple[str, dict[str, object]]],
    expected: dict[str, Any],  # fields of a Standing, by name
) -> None:
    """What was taken in part is held still, until its rest is."""
    payment = Payment()
    intents = [intent(payment, status) | more for status, more in shown]
    standing = await look(payment, *intents)
    assert standing == replace(Standing(payment_id=payment.id), **expected)


@pytest.mark.parametrize(
    "shown",
    [
        {"payment_intents": RATE_LIMITED, "search": RATE_LIMITED},
        {"payment_intents": page(has_more=True), "search": RATE_LIMITED},
        {"payment_intents": page(has_more=True), "search": page(has_more=True)},
        {"refunds": RATE_LIMITED},
        {"refunds": wire.in_turn(page(refund(1, 100), has_more=True), RATE_LIMITED)},
        {"refunds": page(refund(1, 100), has_more=True)},
        {"refunds": page(refund(1, 100, "reversed"))},
        {"refunds": page(refund(1, 100, currency="usdc"))},
        {"disputes": RATE_LIMITED},
        {"disputes": wire.reply(500, {})},
        {"disputes": page(dispute("escalated", -5000))},
        {"disputes": page({"id": "dp_1", "status": "lost", "amount": 1, "currency": "usd"})},
    ],
)
async def test_what_is_not_read_whole_shows_nothing(shown: dict[str, wire.Behaviour]) -> None:
    """A part would say that the rest is not there."""
    payment = Payment()
    assert isinstance(await look(payment, intent(payment), **shown), Unknown | Retriable)


async def test_an_intent_of_a_status_nobody_knows_shows_nothing() -> None:
    """Whether it holds money is what a look is for."""
    payment = Payment()
    assert isinstance(await look(payment, intent(payment, "under_review")), Unknown)


async def test_nothing_is_there_only_where_all_was_seen() -> None:
    """What was made this minute is in no search, and on a busy account on no first page."""
    payment, other = Payment(), intent(Payment(), id="pi_other")
    assert await look(payment, other) == NotFound()
    busy = page(other, has_more=True)
    assert isinstance(await look(payment, payment_intents=busy, search=page()), Unknown)


async def test_by_a_reference_alone_nothing_is_searched_for() -> None:
    """Whose it is its intent says, with all that became of it."""
    payment = Payment()
    async with account(intent(payment)) as (server, stripe):
        standing = await stripe.look(_BY_REFERENCE)
    assert standing == Standing(payment_id=payment.id, captures=(capture(),))
    assert [seen.target.partition("?")[0] for seen in server.seen] == [
        "/v1/payment_intents/pi_1",
        "/v1/refunds",
        "/v1/disputes",
    ]


async def test_by_both_its_names_each_intent_is_seen_once() -> None:
    """The one that we know, though its metadata were changed there, and all that name it."""
    payment = Payment()
    renamed, other = intent(payment, metadata={}), intent(payment, id="pi_2", created=2)
    by = StandingQuery(payment_id=payment.id, provider_reference="pi_1")
    standing = await look(by, renamed, other)
    assert isinstance(standing, Standing)
    assert standing.captures == (capture(), capture(reference="pi_2"))


@pytest.mark.parametrize("metadata", [{}, {"payment_id": "order 7"}])
async def test_what_names_nothing_of_ours_is_nobodys(metadata: dict[str, str]) -> None:
    """Others take payments with the same account; theirs are not read further."""
    async with account(intent(Payment(), metadata=metadata)) as (server, stripe):
        assert await stripe.look(_BY_REFERENCE) == Standing(payment_id=None)
    assert len(server.seen) == 1


async def test_a_reference_that_is_not_there_is_no_proof() -> None:
    """Stripe gave it to us."""
    assert isinstance(await look(_BY_REFERENCE, pi_1=MISSING), Retriable)


@pytest.mark.parametrize(
    ("shown", "taken", "left"),
    [
        # The rest that was released, and a refund of as much that came later.
        ([refund(2, 3000), refund(1, 3000, created=_CAPTURED_AT + 1)], _CAPTURED_AT, ["re_2"]),
        ([refund(1, 3000)], _CAPTURED_AT, ["re_1"]),
        ([refund(1, 1000, created=_CAPTURED_AT + 1)], _CAPTURED_AT, ["re_1"]),
        (
            [refund(1, 3000, metadata={"refund_id": "x"}, created=_CAPTURED_AT + 1)],
            _CAPTURED_AT,
            ["re_1"],
        ),
    ],
)
async def test_the_rest_that_a_capture_released_was_never_taken(
    shown: list[dict[str, object]], taken: int, left: list[str]
) -> None:
    """Stripe lists it as a refund; by when it was made it is told from one."""
    payment = Payment()
    part = intent(payment, amount_received=2000, latest_charge="ch_1")
    transaction = {"id": "txn_1", "amount": 2000, "created": taken}
    charge = wire.reply(200, {"id": "ch_1", "balance_transaction": transaction})
    standing = await look(payment, part, refunds=page(*shown), ch_1=charge)
    assert isinstance(standing, Standing)
    assert [each.reference for each in standing.refunds] == left


@pytest.mark.parametrize(
    "charge",
    [RATE_LIMITED, MISSING, wire.reply(200, {"id": "ch_1", "balance_transaction": None})],
)
async def test_what_cannot_be_told_from_a_refund_now_is_told_later(charge: wire.Behaviour) -> None:
    """As long as the charge cannot be read, or is not in our balance yet."""
    payment = Payment()
    part = intent(payment, amount_received=2000, latest_charge="ch_1")
    found = await look(payment, part, refunds=page(refund(1, 3000)), ch_1=charge)
    assert isinstance(found, Retriable | Unknown)


async def test_what_was_never_taken_was_never_given_back() -> None:
    """Stripe lists as a refund how it let an authorization go."""
    payment = Payment()
    released = page(refund(1, 5000, reason="expired_uncaptured_charge"))
    standing = await look(payment, intent(payment, "canceled"), refunds=released)
    assert standing == Standing(payment_id=payment.id)
