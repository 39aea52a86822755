"""Stripe's dashboard: every state of an intent against every action, and what is left of money."""

import pytest

from simulator.dashboard import (
    Action,
    Capture,
    CloseDispute,
    Expire,
    FailRefund,
    GiveBack,
    NotOffered,
    OpenDispute,
    Pend,
    Reverse,
    Settle,
    SettleRefund,
    Void,
)
from simulator.entries import DisputeFact
from simulator.faults import FaultKind, Faults, FaultSpec
from simulator.journal_report import RefundReport
from tests.support.simulator.counter import Counter, stripe_counter

_PAYMENT = "payment-1"
_CREATE = b"amount=1000&currency=usd&payment_method_types[]=card&metadata[payment_id]=payment-1"
_CARD = _CREATE + b"&payment_method=pm_card_visa"
_HELD = _CARD + b"&confirm=true&capture_method=manual"
_PAID = _CARD + b"&confirm=true"
_PENDING = Faults(FaultSpec(kind=FaultKind.PEND))
_NOTHING = "nothing"
_STATE = "payment_intent_unexpected_state"


@pytest.fixture
def stripe() -> Counter:
    return stripe_counter()


def _in_state(stripe: Counter, state: str) -> None:
    match state:
        case "requires_confirmation":
            stripe.ask("POST", "/v1/payment_intents", _CARD)
        case "requires_capture":
            stripe.ask("POST", "/v1/payment_intents", _HELD)
        case "processing":
            stripe.ask("POST", "/v1/payment_intents", _PAID, faults=_PENDING)
        case "canceled":
            stripe.ask("POST", "/v1/payment_intents", _HELD)
            stripe.act(Void(), _PAYMENT)
        case _:
            stripe.ask("POST", "/v1/payment_intents", _PAID)
    if state in ("refunded", "disputed"):
        stripe.act(GiveBack() if state == "refunded" else OpenDispute(), _PAYMENT)


_ACTIONS: dict[str, Action] = {
    "capture": Capture(),
    "void": Void(),
    "expire": Expire(),
    "refund": GiveBack(),
    "dispute": OpenDispute(),
    "close": CloseDispute(outcome="won"),
    "pend": Pend(),
    "settle": Settle(),
}
_REFUNDED, _CHARGED_BACK = "declined:charge_already_refunded", "declined:charge_disputed"
_INVALID = "invalid_request_error"
# Per state: what becomes of capture, void, expire, refund, dispute, close, pend and settle.
_TABLE = {
    "requires_confirmation": (_STATE, "ok", _NOTHING, _STATE, _STATE, _NOTHING, "ok", _NOTHING),
    "requires_capture": ("captured", "voided", "voided", _STATE, _STATE, _NOTHING, "ok", _NOTHING),
    "processing": (_STATE, _STATE, _NOTHING, _STATE, _STATE, _NOTHING, _NOTHING, "charged"),
    "succeeded": (_STATE, _STATE, _NOTHING, "refunded", "disputed", _NOTHING, _NOTHING, _NOTHING),
    "canceled": (_STATE, _STATE, _NOTHING, _STATE, _STATE, _NOTHING, _NOTHING, _NOTHING),
    "refunded": (_STATE, _STATE, _NOTHING, _REFUNDED, _INVALID, _NOTHING, _NOTHING, _NOTHING),
    "disputed": (_STATE, _STATE, _NOTHING, _CHARGED_BACK, _INVALID, "reinstated", _NOTHING,
                 _NOTHING),
}  # fmt: skip


@pytest.mark.parametrize(
    ("state", "name", "expected"),
    [
        (state, name, expected)
        for state, cells in _TABLE.items()
        for name, expected in zip(_ACTIONS, cells, strict=True)
    ],
)
def test_an_intent_in_each_state_and_each_action(
    stripe: Counter, state: str, name: str, expected: str
) -> None:
    """The effect, Stripe's refusal, or nothing to do it with."""
    _in_state(stripe, state)
    decision = stripe.act(_ACTIONS[name], _PAYMENT)
    assert (decision.effect or decision.outcome if decision else _NOTHING) == expected


def test_what_is_left_of_a_charge_bounds_refunds_and_disputes(stripe: Counter) -> None:
    """Refunded, disputed and left are never more than the charge, whatever the order."""
    _in_state(stripe, "succeeded")
    for action, effect in (
        (GiveBack(amount=300), "refunded"),
        (OpenDispute(amount=500, reason="duplicate"), "disputed"),
        (GiveBack(amount=201), None),
        (OpenDispute(amount=201), None),
        (GiveBack(amount=200), "refunded"),
        (CloseDispute(outcome="won"), "reinstated"),
        (OpenDispute(), "disputed"),
        (CloseDispute(outcome="lost"), None),
        (GiveBack(), None),
    ):
        decision = stripe.act(action, _PAYMENT)
        assert decision is not None
        assert decision.effect == effect, action
    report = stripe.report(_PAYMENT)
    assert (report.refunded_minor, report.withdrawn_minor, report.kept_minor) == (500, 500, 0)
    assert [(one.state, one.withdrawn_minor) for one in report.disputes] == [
        ("won", 0),
        ("lost", 500),
    ]


def test_a_refund_that_comes_back_can_be_made_again(stripe: Counter) -> None:
    """By its own id or by ours, once; the charge can then be refunded in full."""
    _in_state(stripe, "succeeded")
    (intent_id,) = stripe.report(_PAYMENT).references
    body = f"payment_intent={intent_id}&amount=400&metadata[refund_id]=ours".encode()
    refund = stripe.ask("POST", "/v1/refunds", body)
    failed = stripe.act(FailRefund(reason="declined"), "ours")
    assert failed is not None
    assert (failed.effect, failed.reference) == ("refund_failed", refund.reference)
    assert stripe.act(FailRefund(), refund.reference or "") is None
    assert stripe.act(SettleRefund(), "ours") is None
    again = stripe.act(GiveBack(), _PAYMENT)
    assert again is not None
    assert again.amount_minor == 1000
    report = stripe.report(_PAYMENT)
    assert report.refund_details == (
        RefundReport(refund.reference or "", "ours", 400, failed=True),
        RefundReport(again.reference or "", None, 1000),
    )
    assert (report.refunded_minor, report.kept_minor) == (1000, 0)


def test_a_pending_refund_arrives_or_comes_back(stripe: Counter) -> None:
    """What is pending was counted when it was made, and is counted once."""
    _in_state(stripe, "succeeded")
    (intent_id,) = stripe.report(_PAYMENT).references
    for name in ("first", "second"):
        body = f"payment_intent={intent_id}&amount=400&metadata[refund_id]={name}".encode()
        stripe.ask("POST", "/v1/refunds", body, faults=_PENDING)
    assert stripe.report(_PAYMENT).refunded_minor == 800
    arrived, failed = stripe.act(SettleRefund(), "first"), stripe.act(FailRefund(), "second")
    assert arrived is not None
    assert failed is not None
    assert (arrived.effect, failed.effect) == (None, "refund_failed")
    assert stripe.report(_PAYMENT).refunded_minor == 400


@pytest.mark.parametrize(
    ("outcome", "effect", "charged", "declines"),
    [("succeeded", "captured", 400, 0), ("failed", "voided", 0, 0)],
)
def test_a_capture_that_is_pending_holds_until_it_is_settled(
    stripe: Counter, outcome: str, effect: str, charged: int, declines: int
) -> None:
    """Nothing is taken before, and nothing is held afterwards."""
    _in_state(stripe, "requires_capture")
    stripe.act(Pend(), _PAYMENT)
    taken = stripe.act(Capture(amount=400), _PAYMENT)
    assert taken is not None
    assert (taken.effect, taken.outcome) == (None, "pending")
    assert stripe.report(_PAYMENT).held_minor == 1000
    settled = stripe.act(Settle.model_validate({"outcome": outcome}), _PAYMENT)
    assert settled is not None
    assert settled.effect == effect
    report = stripe.report(_PAYMENT)
    assert (report.held_minor, report.charged_minor, report.declines) == (0, charged, declines)


def test_a_dispute_is_told_by_its_reference_amount_and_state(stripe: Counter) -> None:
    """In the report, as in the decision."""
    _in_state(stripe, "succeeded")
    opened = stripe.act(OpenDispute(amount=700), _PAYMENT)
    assert opened is not None
    fact = DisputeFact(opened.reference or "", 700, "open", 700)
    assert opened.dispute == fact
    assert stripe.report(_PAYMENT).disputes == (fact,)


def test_stripe_reverses_nothing(stripe: Counter) -> None:
    """It says so, where it knows the payment."""
    assert stripe.act(Reverse(), _PAYMENT) is None
    _in_state(stripe, "succeeded")
    with pytest.raises(NotOffered, match="dispute"):
        stripe.act(Reverse(), _PAYMENT)


@pytest.mark.parametrize(("currency", "amount", "iso"), [("jpy", 900, 900), ("isk", 90000, 900)])
def test_amounts_are_iso_minor_units_whatever_stripe_s_are(
    stripe: Counter, currency: str, amount: int, iso: int
) -> None:
    """An action of all there is and one of that amount are the same."""
    body = _PAID.replace(b"usd", currency.encode()).replace(b"1000", str(amount).encode())
    stripe.ask("POST", "/v1/payment_intents", body)
    given = stripe.act(GiveBack(amount=iso), _PAYMENT)
    assert given is not None
    assert given.amount_minor == iso
    assert stripe.report(_PAYMENT).kept_minor == 0
