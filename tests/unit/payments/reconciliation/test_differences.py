"""A report against our books: every kind of difference, and what is none."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from payments.money import Money
from payments.payment import Provider
from payments.reconciliation.differences import (
    MARGIN,
    BookEntry,
    Break,
    BreakType,
    Kind,
    Period,
    Reconciliation,
    Settlement,
    SettlementStatus,
)
from tests.support.factories import TENANT, usd

if TYPE_CHECKING:
    from collections.abc import Iterable

START: Final = datetime(2026, 1, 1, tzinfo=UTC)
DAY: Final = Period(START, START + timedelta(days=1))
NOON: Final = START + timedelta(hours=12)
PAYMENT: Final = UUID(int=1)
REFUND: Final = UUID(int=2)
RECONCILIATION: Final = Reconciliation(Provider("paypal"), DAY)

CHARGED: Final = BookEntry(
    kind=Kind.CHARGE,
    id=PAYMENT,
    payment_id=PAYMENT,
    tenant_id=TENANT,
    amount=usd(5_000),
    status="completed",
    is_open=False,
    reference="5O1/capture/2GG",
    began_at=NOON,
    settled_at=NOON + timedelta(seconds=2),
)
REFUNDED: Final = replace(CHARGED, kind=Kind.REFUND, id=REFUND, amount=usd(2_000), reference="1JU")
TAKEN: Final = Settlement(
    kind=Kind.CHARGE,
    reference="2GG",
    our_id=PAYMENT,
    payment_id=PAYMENT,
    amount=usd(5_000),
    status=SettlementStatus.SUCCEEDED,
    occurred_at=NOON + timedelta(seconds=1),
)
GIVEN_BACK: Final = replace(
    TAKEN, kind=Kind.REFUND, reference="1JU", our_id=REFUND, amount=usd(2_000)
)
FAILED: Final = replace(CHARGED, status="failed", reference=None, settled_at=None)
UNKNOWN: Final = replace(FAILED, status="unknown", is_open=True)


def found(ours: Iterable[BookEntry], theirs: Iterable[Settlement]) -> list[Break]:
    return RECONCILIATION.breaks(ours, theirs)


def types(ours: Iterable[BookEntry], theirs: Iterable[Settlement]) -> list[BreakType]:
    return sorted(each.type for each in found(ours, theirs))


AGAIN: Final = replace(TAKEN, reference="3XX", occurred_at=NOON + timedelta(hours=1))
BACK_AGAIN: Final = replace(GIVEN_BACK, reference="2KV")


@pytest.mark.parametrize(
    ("ours", "theirs", "expected"),
    [
        ([], [], []),
        ([CHARGED, REFUNDED], [TAKEN, GIVEN_BACK], []),
        ([CHARGED], [TAKEN, TAKEN], []),
        ([CHARGED], [replace(TAKEN, our_id=None)], []),
        ([], [TAKEN], [BreakType.MISSING_HERE]),
        ([], [replace(TAKEN, our_id=None)], [BreakType.MISSING_HERE]),
        ([], [replace(TAKEN, status=SettlementStatus.FAILED)], []),
        ([CHARGED], [], [BreakType.MISSING_THERE]),
        ([REFUNDED], [], [BreakType.MISSING_THERE]),
        ([FAILED], [], []),
        ([UNKNOWN], [], []),
        ([CHARGED], [replace(TAKEN, amount=usd(4_999))], [BreakType.AMOUNT_DIFFERS]),
        ([CHARGED], [replace(TAKEN, amount=Money(5_000, "EUR"))], [BreakType.CURRENCY_DIFFERS]),
        ([FAILED], [TAKEN], [BreakType.STATUS_DIFFERS]),
        ([UNKNOWN], [TAKEN], [BreakType.STATUS_DIFFERS]),
        ([UNKNOWN], [replace(TAKEN, occurred_at=DAY.end - MARGIN / 2)], []),
        ([FAILED], [replace(TAKEN, occurred_at=DAY.end - MARGIN / 2)], [BreakType.STATUS_DIFFERS]),
        (
            [CHARGED],
            [replace(TAKEN, status=SettlementStatus.PENDING)],
            [BreakType.STATUS_DIFFERS],
        ),
        ([CHARGED], [TAKEN, AGAIN], [BreakType.DUPLICATE_CHARGE]),
        ([CHARGED], [AGAIN, TAKEN], [BreakType.DUPLICATE_CHARGE]),
        ([REFUNDED], [GIVEN_BACK, BACK_AGAIN], [BreakType.DUPLICATE_REFUND]),
        ([CHARGED], [AGAIN], [BreakType.DUPLICATE_CHARGE, BreakType.MISSING_THERE]),
        ([FAILED], [TAKEN, AGAIN], [BreakType.DUPLICATE_CHARGE, BreakType.STATUS_DIFFERS]),
    ],
)
def test_each_difference_has_its_type(
    ours: list[BookEntry], theirs: list[Settlement], expected: list[BreakType]
) -> None:
    """One break a difference, and none where both sides say the same."""
    assert types(ours, theirs) == expected


@pytest.mark.parametrize(
    ("began_at", "settled_at", "is_missed"),
    [
        (START + MARGIN, NOON, True),
        (START + MARGIN - timedelta(seconds=1), NOON, False),
        (START - timedelta(days=3), NOON, False),
        (NOON, DAY.end - MARGIN - timedelta(seconds=1), True),
        (NOON, DAY.end - MARGIN, False),
        (NOON, DAY.end + timedelta(days=1), False),
    ],
)
def test_only_what_the_report_must_hold_is_missed_in_it(
    began_at: datetime,
    settled_at: datetime,
    is_missed: bool,  # noqa: FBT001 - pytest's parameters are positional
) -> None:
    """What may have moved outside the period may stand in the report before or after."""
    record = replace(CHARGED, began_at=began_at, settled_at=settled_at)
    assert bool(found([record], [])) is is_missed


def test_a_duplicate_alone_in_its_report_is_not_taken_for_the_charge() -> None:
    """The first charge stood in yesterday's report; today's lone line is one too many."""
    yesterday = replace(
        CHARGED,
        began_at=START - timedelta(hours=1),
        settled_at=START - timedelta(minutes=59),
    )
    assert types([yesterday], [AGAIN]) == [BreakType.DUPLICATE_CHARGE]


def test_a_break_says_what_each_side_has() -> None:
    """Amounts, states, names, and since when."""
    (each,) = found([REFUNDED], [replace(GIVEN_BACK, amount=usd(1_000))])
    assert (each.payment_id, each.refund_id, each.tenant_id) == (PAYMENT, REFUND, TENANT)
    assert (each.here, each.there) == (usd(2_000), usd(1_000))
    assert (each.status_here, each.status_there) == ("completed", "succeeded")
    assert (each.reference, each.occurred_at) == ("1JU", GIVEN_BACK.occurred_at)
    (each,) = found([CHARGED], [])
    assert (each.here, each.there, each.status_there) == (usd(5_000), None, None)
    assert (each.began_at, each.occurred_at) == (CHARGED.began_at, CHARGED.settled_at)
    (each,) = found([], [GIVEN_BACK])
    assert (each.payment_id, each.refund_id, each.tenant_id) == (PAYMENT, REFUND, None)


records = st.lists(st.sampled_from([CHARGED, REFUNDED, FAILED, UNKNOWN]), unique_by=lambda r: r.key)
lines = st.lists(st.sampled_from([TAKEN, AGAIN, GIVEN_BACK, BACK_AGAIN]))


@given(records, lines)
def test_every_run_names_the_same_breaks(ours: list[BookEntry], theirs: list[Settlement]) -> None:
    """Whatever the order, and each by an id of its own: by which a later run knows it again."""
    breaks = found(ours, theirs)
    assert {each.id for each in found(ours[::-1], theirs[::-1])} == {each.id for each in breaks}
    assert len({each.id for each in breaks}) == len(breaks)


@given(records, lines)
def test_money_is_accounted_for(ours: list[BookEntry], theirs: list[Settlement]) -> None:
    """What moved there is what we have, and the breaks make up the difference."""
    moved = sum(line.amount.amount_minor for line in set(theirs))
    settled = sum(record.amount.amount_minor for record in ours if record.settled_at)
    difference = sum(_difference(each) for each in found(ours, theirs))
    assert moved - settled == difference


def _difference(each: Break) -> int:
    """By how much the provider's side exceeds ours."""
    here = each.here.amount_minor if each.here else 0
    there = each.there.amount_minor if each.there else 0
    match each.type:
        case BreakType.AMOUNT_DIFFERS:
            return there - here
        case BreakType.MISSING_THERE:
            return -here
        case _:
            return there


def test_a_refund_made_at_the_provider_itself_names_its_payment() -> None:
    """It carries no refund of ours, but the report says whose money went back."""
    (each,) = found([CHARGED], [TAKEN, replace(GIVEN_BACK, our_id=None)])
    assert (each.type, each.payment_id, each.refund_id) == (BreakType.MISSING_HERE, PAYMENT, None)
