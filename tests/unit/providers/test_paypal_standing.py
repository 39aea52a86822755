"""How a payment stands at PayPal, by what its order shows and which disputes there are."""

from __future__ import annotations

from typing import Final
from uuid import UUID

import pytest

from payments.money import Money
from payments.outcome import Unknown
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
from providers.paypal.disputes import Dispute
from providers.paypal.objects import Order
from providers.paypal.standing import Disputed, standing_of
from tests.support.providers.paypal import movement

OURS: Final = UUID("0198c0de-0000-7000-8000-000000000001")
REFUND: Final = UUID("0198c0de-0000-7000-8000-000000000002")
ALL, PART = Money(5000, "USD"), Money(2000, "USD")
_PART: Final[dict[str, object]] = {"amount": {"currency_code": "USD", "value": "20.00"}}
_TAKEN: Final = Standing(payment_id=OURS, captures=(FoundCapture("O1/capture/C1", ALL),))
_CAPTURE: Final = movement("COMPLETED", "C1")
_LINK: Final = "https://api.paypal.com/v2/payments/captures/"


def order(custom_id: str | None = str(OURS), **payments: object) -> Order:
    unit = {"custom_id": custom_id, "payments": payments}
    return Order.model_validate({"id": "O1", "status": "COMPLETED", "purchase_units": [unit]})


def given_back(
    status: str = "COMPLETED", identifier: str = "R1", of: str | None = "C1", **fields: object
) -> dict[str, object]:
    """A refund as one made in the dashboard looks: it has its capture's id of ours."""
    links = [{"rel": "up", "href": _LINK + of}] if of else []
    return movement(status, identifier, custom_id=str(OURS), links=links) | fields


_STATUSES: Final[dict[DisputeState, dict[str, object]]] = {
    DisputeState.OPEN: {"status": "UNDER_REVIEW"},
    DisputeState.WON: {
        "status": "RESOLVED",
        "dispute_outcome": {"outcome_code": "RESOLVED_SELLER_FAVOUR"},
    },
    DisputeState.LOST: {
        "status": "RESOLVED",
        "dispute_outcome": {"outcome_code": "RESOLVED_BUYER_FAVOUR"},
    },
}


def dispute(
    state: DisputeState, value: str = "50.00", of: str = "C1", **fields: object
) -> Disputed:
    """A claim, decided once and appealed while it is open."""
    shown = {
        "dispute_id": "PP-D-7",
        "dispute_amount": {"currency_code": "USD", "value": value},
        "dispute_life_cycle_stage": "ARBITRATION",
        **_STATUSES[state],
        **fields,
    }
    return Disputed(of, Dispute.model_validate(shown))


def found(state: DisputeState, *, is_withdrawn: bool) -> FoundDispute:
    return FoundDispute("PP-D-7", DisputeKind.DISPUTE, ALL, state, is_withdrawn)


_DATED: Final = {"create_time": "2026-03-01T12:00:00Z", "update_time": "2026-03-05T12:00:00Z"}
_DEBIT: Final = {
    "affected_party": "SELLER",
    "type": "DEBIT",
    "reason": "DISPUTE_SETTLEMENT",
    "amount": {"currency_code": "USD", "value": "50.00"},
}


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ("CREATED", Standing(payment_id=OURS, is_held=True)),
        ("PENDING", Standing(payment_id=OURS, is_held=True, is_pending=True)),
        ("VOIDED", Standing(payment_id=OURS, why_released="voided")),
        ("EXPIRED", Standing(payment_id=OURS, why_released="authorization_expired")),
        ("DENIED", Standing(payment_id=OURS, why_released="denied")),
    ],
)
def test_an_authorization_stands(status: str, expected: Standing) -> None:
    """Held, or not any more, and why."""
    assert standing_of(order(authorizations=[movement(status, "A1")]), []) == expected


def test_what_was_captured_and_what_is_held_of_the_rest_are_both_told() -> None:
    """Until a final capture, or a void, lets go of it."""
    first = movement("COMPLETED", "C1") | _PART
    partly = order(authorizations=[movement("PARTIALLY_CAPTURED", "A1")], captures=[first])
    taken = replace(_TAKEN, captures=(FoundCapture("O1/capture/C1", PART),))
    assert standing_of(partly, []) == replace(taken, is_held=True)
    final = [first | {"final_capture": True}]
    ended = order(authorizations=[movement("PARTIALLY_CAPTURED", "A1")], captures=final)
    assert standing_of(ended, []) == taken
    voided = order(authorizations=[movement("VOIDED", "A1")], captures=[first])
    assert standing_of(voided, []) == replace(taken, why_released="voided")


def test_a_capture_stands_by_what_has_become_of_it() -> None:
    """Taken, on its way, or refused; every one that was taken is there."""
    two = order(captures=[_CAPTURE, movement("REFUNDED", "C2"), movement("DECLINED", "C3")])
    captures = (*_TAKEN.captures, FoundCapture("O1/capture/C2", ALL))
    assert standing_of(two, []) == replace(_TAKEN, captures=captures)
    waiting = order(captures=[movement("PENDING", "C1")])
    assert standing_of(waiting, []) == Standing(payment_id=OURS, is_pending=True)
    refused = order(captures=[movement("DECLINED", "C1")])
    assert standing_of(refused, []) == Standing(payment_id=OURS)


@pytest.mark.parametrize("custom_id", [None, "order 7"])
def test_what_somebody_else_made_names_no_payment_of_ours(custom_id: str | None) -> None:
    """It is shown whole all the same."""
    assert standing_of(order(custom_id, captures=[_CAPTURE]), []) == replace(
        _TAKEN, payment_id=None
    )


@pytest.mark.parametrize(
    ("refund", "found"),
    [
        (
            given_back(custom_id=str(REFUND)),
            FoundRefund("R1", ALL, FoundState.SUCCEEDED, REFUND),
        ),
        (
            given_back("PENDING", custom_id=str(REFUND), status_details={"reason": "ECHECK"}),
            FoundRefund("R1", ALL, FoundState.PENDING, REFUND, "ECHECK"),
        ),
        (given_back("FAILED"), FoundRefund("R1", ALL, FoundState.FAILED)),
        (given_back("CANCELLED"), FoundRefund("R1", ALL, FoundState.FAILED)),
        # Made in the dashboard: the payment's id is its capture's, and says nothing of a refund.
        (
            given_back(note_to_payer="sorry") | _PART,
            FoundRefund("R1", PART, FoundState.SUCCEEDED, None, "sorry"),
        ),
        (given_back(custom_id=None), FoundRefund("R1", ALL, FoundState.SUCCEEDED)),
        # Ours, for a reason in the words that PayPal has for a reversal.
        (
            given_back(custom_id=str(REFUND), note_to_payer="Payment reversed"),
            FoundRefund("R1", ALL, FoundState.SUCCEEDED, REFUND, "Payment reversed"),
        ),
    ],
)
def test_a_refund_stands(refund: dict[str, object], found: FoundRefund) -> None:
    """With our id where it has one of its own."""
    shown = order(captures=[_CAPTURE], refunds=[refund])
    assert standing_of(shown, []) == replace(_TAKEN, refunds=(found,))


@pytest.mark.parametrize(
    ("status", "state"),
    [
        ("COMPLETED", DisputeState.LOST),
        ("PENDING", DisputeState.OPEN),
        ("FAILED", DisputeState.WON),
    ],
)
def test_a_reversal_is_no_refund(status: str, state: DisputeState) -> None:
    """PayPal shows it as one, but nobody gave it back: it was taken."""
    shown = order(
        captures=[_CAPTURE], refunds=[given_back(status, note_to_payer="Payment reversed")]
    )
    is_withdrawn = state is DisputeState.LOST
    reversal = FoundDispute("R1", DisputeKind.REVERSAL, ALL, state, is_withdrawn)
    assert standing_of(shown, []) == replace(_TAKEN, disputes=(reversal,))


def shown(*refunds: dict[str, object], disputed: Disputed | None = None) -> list[str]:
    """What moved money back: the refunds, and the disputes and reversals that took their amount."""
    disputes = [disputed] if disputed else []
    standing = standing_of(order(captures=[_CAPTURE], refunds=list(refunds)), disputes)
    assert isinstance(standing, Standing)
    taken = [each.reference for each in standing.disputes if each.is_withdrawn]
    assert len(standing.refunds) + len(standing.disputes) == len(refunds) + len(disputes)
    return [*(each.reference for each in standing.refunds), *taken]


def test_a_capture_that_was_charged_back_is_reversed_even_without_a_refund() -> None:
    """Unless a dispute, or the refund that shows the reversal, tells of that money."""
    capture = movement("DENIED", "C1", status_details={"reason": "CHARGEBACK"})
    reversal = FoundDispute(
        "C1", DisputeKind.REVERSAL, ALL, DisputeState.LOST, is_withdrawn=True, reason="CHARGEBACK"
    )
    assert standing_of(order(captures=[capture]), []) == replace(_TAKEN, disputes=(reversal,))
    told_once = (
        found(DisputeState.OPEN, is_withdrawn=True),
        replace(reversal, is_withdrawn=False),
    )
    standing = standing_of(order(captures=[capture]), [dispute(DisputeState.OPEN)])
    assert standing == replace(_TAKEN, disputes=told_once)
    refunded = order(captures=[capture], refunds=[given_back(note_to_payer="Payment reversed")])
    standing = standing_of(refunded, [])
    assert isinstance(standing, Standing)
    assert [(each.reference, each.is_withdrawn) for each in standing.disputes] == [("R1", True)]


def test_money_that_a_dispute_took_back_is_told_once() -> None:
    """As the dispute, which may have its end before it yet; the reversal is there without it."""
    for link in ("C1", None):
        reversal = given_back(of=link, note_to_payer="Payment reversed")
        for state in (DisputeState.OPEN, DisputeState.LOST):
            assert shown(reversal, disputed=dispute(state)) == ["PP-D-7"]
        assert shown(reversal, disputed=dispute(DisputeState.WON)) == []
        unclaimed = dispute(DisputeState.OPEN, dispute_life_cycle_stage="CHARGEBACK")
        assert shown(reversal, disputed=unclaimed) == ["PP-D-7"]
        assert shown(reversal | {"status": "FAILED"}, disputed=unclaimed) == []
        assert shown(reversal) == ["R1"]
    of_another = given_back(of="C2", note_to_payer="Payment reversed")
    assert shown(of_another, disputed=dispute(DisputeState.LOST)) == ["PP-D-7", "R1"]


@pytest.mark.parametrize("refund_id", [OURS, REFUND])
def test_a_dispute_that_ended_with_a_refund_has_taken_nothing(refund_id: UUID) -> None:
    """Of ours, or PayPal's own: the payer has the money by it."""
    refund = given_back(custom_id=str(refund_id)) | _PART
    for state in (DisputeState.OPEN, DisputeState.LOST):
        for status in ("COMPLETED", "PENDING"):
            made = refund | {"status": status}
            assert shown(made, disputed=dispute(state, "20.00")) == ["R1"]
    another = given_back(identifier="R2") | _PART
    assert shown(refund, another, disputed=dispute(DisputeState.LOST, "20.00")) == ["R1", "R2"]
    for unrelated in (
        dispute(DisputeState.LOST, "50.00"),
        dispute(DisputeState.LOST, "20.00", of="C2"),
    ):
        assert shown(refund, disputed=unrelated) == ["R1", "PP-D-7"]


def test_a_refund_that_came_back_still_ended_its_dispute() -> None:
    """The money is ours again, unless PayPal says that it took it for the dispute."""
    failed = given_back("FAILED")
    assert shown(failed, disputed=dispute(DisputeState.LOST)) == ["R1"]
    assert shown(failed, disputed=dispute(DisputeState.LOST, money_movements=[_DEBIT])) == [
        "R1",
        "PP-D-7",
    ]
    cancelled = given_back("CANCELLED")
    assert shown(cancelled, disputed=dispute(DisputeState.LOST)) == ["R1", "PP-D-7"]


@pytest.mark.parametrize(
    ("made_at", "value", "taken"),
    [
        # Who disputes what was refunded already gets it twice, until we are heard.
        ("2026-03-01T11:59:59Z", "50.00", ["R1", "PP-D-7"]),
        ("2026-03-01T05:00:00-07:00", "50.00", ["R1"]),
        ("2026-03-06T00:00:00Z", "50.00", ["R1"]),
        ("yesterday", "50.00", ["R1"]),
        # While it was open only all could be refunded, later any part of the rest.
        ("2026-03-05T12:00:00Z", "20.00", ["R1"]),
        ("2026-03-05T12:00:01Z", "20.00", ["R1", "PP-D-7"]),
        ("yesterday", "20.00", ["R1", "PP-D-7"]),
    ],
)
def test_a_refund_ended_a_dispute_while_that_was_open(
    made_at: str, value: str, taken: list[str]
) -> None:
    """One from before it did not, nor one of another part from after it."""
    lost = dispute(DisputeState.LOST, value, **_DATED)
    assert shown(given_back(create_time=made_at), disputed=lost) == taken


def test_a_dispute_that_ended_with_a_reversal_did_not_end_with_a_refund() -> None:
    """A part refunded in the dashboard, as much lost to a dispute: two movements."""
    reversal = given_back(identifier="R2", note_to_payer="Payment reversed") | _PART
    lost = dispute(DisputeState.LOST, "20.00")
    assert shown(given_back() | _PART, reversal, disputed=lost) == ["R1", "PP-D-7"]


def test_one_refund_ends_one_dispute() -> None:
    """Two of one amount are two movements of money."""
    disputes = [dispute(DisputeState.LOST, "20.00") for _ in range(2)]
    refunds: list[dict[str, object]] = [given_back() | _PART]
    standing = standing_of(order(captures=[_CAPTURE], refunds=refunds), disputes)
    assert isinstance(standing, Standing)
    assert [each.is_withdrawn for each in standing.disputes] == [False, True]


def test_a_dispute_that_is_not_understood_leaves_no_standing() -> None:
    """Nor one that is about something else as well."""
    strange = dispute(DisputeState.OPEN, status="ADJOURNED")
    assert isinstance(standing_of(order(captures=[_CAPTURE]), [strange]), Unknown)


@pytest.mark.parametrize(
    "payments",
    [
        {"authorizations": [movement("NEW", "A1")]},
        {"authorizations": [movement("CAPTURED", "A1")]},
        {"captures": [movement("SETTLING", "C1")]},
        {"captures": [{"id": "C1", "status": "COMPLETED"}]},
        {"captures": [_CAPTURE], "refunds": [given_back("ON_ITS_WAY")]},
        {"captures": [_CAPTURE], "refunds": [given_back(amount=None)]},
        {
            "captures": [_CAPTURE],
            "refunds": [given_back(amount={"currency_code": "X", "value": "1"})],
        },
    ],
)
def test_what_is_not_understood_whole_is_not_told_in_part(
    payments: dict[str, object],
) -> None:
    """A standing is evidence only as a whole."""
    unit = {"payments": payments}
    shown = {"id": "O1", "status": "COMPLETED", "purchase_units": [unit]}
    assert isinstance(standing_of(Order.model_validate(shown), []), Unknown)
