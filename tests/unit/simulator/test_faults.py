"""The fault script: who is hit, how often, and what combines."""

from random import Random

import pytest

from simulator.faults import FaultKind, FaultScript, FaultSpec


def _script(*specs: FaultSpec) -> FaultScript:
    script = FaultScript(Random(7))
    for spec in specs:
        script.arm(spec)
    return script


def test_a_rate_is_limited_second_by_second() -> None:
    """What is within the rate is not hit, and the next second has room again."""
    now = [100.0]
    script = FaultScript(Random(7), clock=lambda: now[-1])
    script.arm(FaultSpec(kind=FaultKind.RATE_LIMIT, per_second=2))
    for at in (100.0, 101.0, 102.5):
        now.append(at)
        hit = [script.draw("stripe", "charge", "p1").replacing is not None for _ in range(4)]
        assert hit == [False, False, True, True]


@pytest.mark.parametrize(
    ("spec", "hit"),
    [
        ({}, True),
        ({"vendor": "stripe"}, True),
        ({"vendor": "paypal"}, False),
        ({"operation": "charge"}, True),
        ({"operation": "refund"}, False),
        ({"payment_id": "p1"}, True),
        ({"payment_id": "p2"}, False),
    ],
)
def test_a_fault_hits_what_it_names(spec: dict[str, str], *, hit: bool) -> None:
    """By vendor, operation and payment; an absent name means any."""
    script = _script(FaultSpec.model_validate({"kind": "reset_after", **spec}))
    assert script.draw("stripe", "charge", "p1").has(FaultKind.RESET_AFTER) is hit


def test_a_fault_is_used_up() -> None:
    """`times` counts matching requests only; then the fault is gone."""
    script = _script(FaultSpec(kind=FaultKind.RATE_LIMIT, vendor="stripe", times=2))
    hits = [
        script.draw(vendor, "charge", None).has(FaultKind.RATE_LIMIT)
        for vendor in ("stripe", "paypal", "stripe", "stripe")
    ]
    assert hits == [True, False, True, False]
    assert script.armed == []


def test_the_first_armed_replaces_the_answer_and_the_rest_wait() -> None:
    """One answer can go wrong in one way only; latency and ignored keys add to it."""
    script = _script(
        FaultSpec(kind=FaultKind.ERROR_BEFORE, times=1),
        FaultSpec(kind=FaultKind.RESET_AFTER, times=1),
        FaultSpec(kind=FaultKind.LATENCY, milliseconds=20),
        FaultSpec(kind=FaultKind.LATENCY, milliseconds=30),
    )
    first = script.draw("stripe", "charge", None)
    second = script.draw("stripe", "charge", None)
    assert first.replacing is not None
    assert second.replacing is not None
    assert first.replacing.kind is FaultKind.ERROR_BEFORE
    assert second.replacing.kind is FaultKind.RESET_AFTER
    assert first.latency_s == pytest.approx(0.05)
    assert str(first) == "latency+latency+error_before"


def test_a_share_is_drawn_for_each_request() -> None:
    """Reproducible from the entropy given."""
    script = _script(FaultSpec(kind=FaultKind.RATE_LIMIT, share=0.3))
    hits = sum(script.draw("stripe", "charge", None).has(FaultKind.RATE_LIMIT) for _ in range(1000))
    assert 250 < hits < 350


def test_clearing_one_vendor_leaves_the_other_broken() -> None:
    script = _script(
        FaultSpec(kind=FaultKind.RATE_LIMIT, vendor="stripe"),
        FaultSpec(kind=FaultKind.RATE_LIMIT, vendor="paypal"),
    )
    assert script.clear("stripe") == 1
    assert script.draw("paypal", "charge", None).has(FaultKind.RATE_LIMIT)
    assert script.clear() == 1
