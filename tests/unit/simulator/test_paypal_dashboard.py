"""PayPal's dashboard: every state of an order against every action, and what is left of money."""

import orjson
import pytest

from simulator.dashboard import (
    Action,
    Capture,
    CloseDispute,
    Expire,
    FailRefund,
    GiveBack,
    OpenDispute,
    Pend,
    Reverse,
    Settle,
    SettleRefund,
    Void,
)
from simulator.entries import DisputeFact
from simulator.faults import NO_FAULTS, FaultKind, Faults, FaultSpec
from simulator.journal_report import RefundReport, ReversalReport
from tests.support.simulator.counter import Counter, paypal_counter

_PAYMENT = "payment-1"
_PENDING = Faults(FaultSpec(kind=FaultKind.PEND))
_NOTHING = "nothing"


@pytest.fixture
def paypal() -> Counter:
    return paypal_counter()


def _order(intent: str) -> bytes:
    amount = {"currency_code": "USD", "value": "10.00"}
    return orjson.dumps(
        {
            "intent": intent,
            "purchase_units": [{"amount": amount, "custom_id": _PAYMENT}],
            "payment_source": {"card": {"vault_id": "vaulted"}},
        }
    )


def _paid(paypal: Counter, intent: str, faults: Faults = NO_FAULTS) -> str:
    """The reference of the capture, or of the authorization."""
    made = paypal.ask("POST", "/v2/checkout/orders", _order(intent), "key", faults=faults)
    assert made.reference is not None
    return made.reference


def _in_state(paypal: Counter, state: str) -> None:
    faults = _PENDING if state == "pending" else NO_FAULTS
    _paid(paypal, "AUTHORIZE" if state in ("held", "part", "voided") else "CAPTURE", faults)
    after: dict[str, Action] = {
        "part": Capture(amount=400),
        "voided": Void(),
        "refunded": GiveBack(),
        "disputed": OpenDispute(),
        "reversed": Reverse(),
    }
    if state in after:
        paypal.act(after[state], _PAYMENT)
    if state == "lost":
        paypal.act(OpenDispute(), _PAYMENT)
        paypal.act(CloseDispute(outcome="lost"), _PAYMENT)


_ACTIONS: dict[str, Action] = {
    "capture": Capture(),
    "void": Void(),
    "expire": Expire(),
    "refund": GiveBack(),
    "dispute": OpenDispute(),
    "close": CloseDispute(outcome="lost"),
    "reverse": Reverse(),
    "pend": Pend(),
    "settle": Settle(),
}
# Per state, in the order of the actions: the effect, PayPal's issue, or nothing to do it with.
_TABLE = {
    "held": "captured voided voided nothing nothing nothing nothing ok nothing",
    "part": "captured voided voided refunded ok nothing reversed ok nothing",
    "voided": (
        "declined:AUTHORIZATION_VOIDED declined:PREVIOUSLY_VOIDED nothing "
        "nothing nothing nothing nothing nothing nothing"
    ),
    "captured": "nothing nothing nothing refunded ok nothing reversed nothing nothing",
    "pending": (
        "nothing nothing nothing declined:PENDING_CAPTURE INVALID_PARAMETER_VALUE nothing "
        "REFUND_NOT_ALLOWED nothing charged"
    ),
    "refunded": (
        "nothing nothing nothing declined:CAPTURE_FULLY_REFUNDED INVALID_PARAMETER_VALUE nothing "
        "REFUND_AMOUNT_EXCEEDED nothing nothing"
    ),
    "disputed": (
        "nothing nothing nothing refunded TRANSACTION_DISPUTED disputed REFUND_NOT_ALLOWED "
        "nothing nothing"
    ),
    "lost": (
        "nothing nothing nothing declined:REFUND_NOT_PERMITTED_DUE_TO_CHARGEBACK "
        "INVALID_PARAMETER_VALUE nothing REFUND_AMOUNT_EXCEEDED nothing nothing"
    ),
    "reversed": (
        "nothing nothing nothing declined:REFUND_NOT_PERMITTED_DUE_TO_CHARGEBACK "
        "INVALID_PARAMETER_VALUE nothing REFUND_AMOUNT_EXCEEDED nothing nothing"
    ),
}


@pytest.mark.parametrize(
    ("state", "name", "expected"),
    [
        (state, name, expected)
        for state, cells in _TABLE.items()
        for name, expected in zip(_ACTIONS, cells.split(), strict=True)
    ],
)
def test_an_order_in_each_state_and_each_action(
    paypal: Counter, state: str, name: str, expected: str
) -> None:
    """The effect, PayPal's refusal, or nothing to do it with."""
    _in_state(paypal, state)
    decision = paypal.act(_ACTIONS[name], _PAYMENT)
    assert (decision.effect or decision.outcome if decision else _NOTHING) == expected


def test_parts_captured_there_leave_the_rest_held(paypal: Counter) -> None:
    """The authorization stays open until the rest is voided; parts are no double charge."""
    _paid(paypal, "AUTHORIZE")
    for amount in (300, 400):
        paypal.act(Capture(amount=amount), _PAYMENT)
    report = paypal.report(_PAYMENT)
    assert (report.charges, report.charged_minor, report.held_minor) == (2, 700, 300)
    assert not report.is_charged_twice
    paypal.act(Void(), _PAYMENT)
    report = paypal.report(_PAYMENT)
    assert (report.voided_minor, report.held_minor, report.kept_minor) == (300, 0, 700)


def test_a_dispute_is_settled_by_giving_all_back_but_not_by_a_part(paypal: Counter) -> None:
    """A part is refused while the case is open; all ends it, and nothing is taken twice."""
    _paid(paypal, "CAPTURE")
    opened = paypal.act(OpenDispute(), _PAYMENT)
    part = paypal.act(GiveBack(amount=999), _PAYMENT)
    assert opened is not None
    assert part is not None
    assert part.outcome == "declined:TRANSACTION_DISPUTED"
    paypal.act(GiveBack(), _PAYMENT)
    assert paypal.act(CloseDispute(outcome="lost"), _PAYMENT) is None
    report = paypal.report(_PAYMENT)
    assert report.disputes == (DisputeFact(opened.reference or "", 1000, "lost", 0),)
    assert (report.refunded_minor, report.withdrawn_minor, report.kept_minor) == (1000, 0, 0)


@pytest.mark.parametrize(("outcome", "withdrawn"), [("won", 0), ("lost", 700)])
def test_a_dispute_takes_its_money_when_it_is_lost(
    paypal: Counter, outcome: str, withdrawn: int
) -> None:
    """Nothing before; after a won one, the capture can be refunded again in parts."""
    _paid(paypal, "CAPTURE")
    paypal.act(OpenDispute(amount=700), _PAYMENT)
    assert paypal.report(_PAYMENT).withdrawn_minor == 0
    paypal.act(CloseDispute.model_validate({"outcome": outcome}), _PAYMENT)
    report = paypal.report(_PAYMENT)
    assert (report.withdrawn_minor, report.kept_minor) == (withdrawn, 1000 - withdrawn)
    refund = paypal.act(GiveBack(amount=100), _PAYMENT)
    assert refund is not None
    assert (refund.effect == "refunded") is (outcome == "won")


def test_a_refund_that_comes_back_can_be_made_again(paypal: Counter) -> None:
    """By its own id or by ours, once; the capture can then be refunded in full."""
    capture = _paid(paypal, "CAPTURE")
    amount = {"currency_code": "USD", "value": "4.00"}
    body = orjson.dumps({"amount": amount, "custom_id": "ours"})
    refund = paypal.ask("POST", f"/v2/payments/captures/{capture}/refund", body)
    failed = paypal.act(FailRefund(), "ours")
    assert failed is not None
    assert (failed.effect, failed.reference) == ("refund_failed", refund.reference)
    assert paypal.act(FailRefund(), refund.reference or "") is None
    again = paypal.act(GiveBack(), _PAYMENT)
    assert again is not None
    report = paypal.report(_PAYMENT)
    assert report.refund_details == (
        RefundReport(refund.reference or "", "ours", 400, failed=True),
        RefundReport(again.reference or "", None, 1000),
    )
    assert (report.refunded_minor, report.kept_minor) == (1000, 0)


def test_a_pending_refund_arrives_once(paypal: Counter) -> None:
    """It was counted when it was made."""
    capture = _paid(paypal, "CAPTURE")
    body = orjson.dumps({"custom_id": "ours"})
    path = f"/v2/payments/captures/{capture}/refund"
    assert paypal.ask("POST", path, body, faults=_PENDING).effect == "refunded"
    arrived = paypal.act(SettleRefund(), "ours")
    assert arrived is not None
    assert arrived.events == ("PAYMENT.CAPTURE.REFUNDED",)
    assert paypal.act(SettleRefund(), "ours") is None
    assert paypal.report(_PAYMENT).refunded_minor == 1000


def test_a_reversal_is_no_refund_of_anybody_s(paypal: Counter) -> None:
    """It has a reference of its own, cannot come back, and bars refunds."""
    _paid(paypal, "CAPTURE")
    reversal = paypal.act(Reverse(amount=250), _PAYMENT)
    assert reversal is not None
    assert paypal.act(FailRefund(), reversal.reference or "") is None
    report = paypal.report(_PAYMENT)
    assert report.reversals == (ReversalReport(reversal.reference or "", 250),)
    assert (report.refunds, report.kept_minor) == (0, 750)


@pytest.mark.parametrize(
    ("outcome", "effect", "charged"), [("succeeded", "captured", 400), ("failed", "voided", 0)]
)
def test_a_capture_that_is_pending_holds_until_it_is_settled(
    paypal: Counter, outcome: str, effect: str, charged: int
) -> None:
    """Its part alone is decided: the rest of the authorization stays as it is."""
    _paid(paypal, "AUTHORIZE")
    paypal.act(Pend(), _PAYMENT)
    taken = paypal.act(Capture(amount=400), _PAYMENT)
    assert taken is not None
    assert (taken.effect, taken.events) == (None, ("PAYMENT.CAPTURE.PENDING",))
    assert paypal.report(_PAYMENT).held_minor == 1000
    settled = paypal.act(Settle.model_validate({"outcome": outcome}), _PAYMENT)
    assert settled is not None
    assert settled.effect == effect
    report = paypal.report(_PAYMENT)
    assert (report.held_minor, report.charged_minor) == (600, charged)
