"""A break's life: new, again, gone, signed for, and back when it looks otherwise."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

import pytest

from payments.payment import Provider
from payments.reconciliation.breaks import BreakState, Run, TrackedBreak, after_run, resolved
from payments.reconciliation.differences import MARGIN, Break, BreakType, Kind, Period
from tests.support.factories import usd

START: Final = datetime(2026, 1, 1, tzinfo=UTC)
NOON: Final = START + timedelta(hours=12)
DAY: Final = Period(START, START + timedelta(days=1))
NEXT_DAY: Final = Period(DAY.end, DAY.end + timedelta(days=1))
NOW: Final = NEXT_DAY.end
DIFFERS: Final = Break(
    id=UUID(int=1),
    tenant_id=None,
    provider=Provider("stripe"),
    type=BreakType.AMOUNT_DIFFERS,
    kind=Kind.CHARGE,
    payment_id=UUID(int=2),
    refund_id=None,
    reference="pi_1",
    here=usd(5_000),
    there=usd(4_000),
    status_here="completed",
    status_there="succeeded",
    began_at=NOON,
    occurred_at=NOON,
)


def tracked(run: Run) -> dict[UUID, TrackedBreak]:
    return {each.id: each for each in (*run.new, *run.again, *run.gone)}


def first_run() -> dict[UUID, TrackedBreak]:
    return tracked(after_run({}, [DIFFERS], DAY, NOON))


def test_a_new_break_is_open_and_as_old_as_the_difference() -> None:
    """Not as young as the run that found it."""
    (each,) = after_run({}, [DIFFERS], DAY, NOW).new
    assert each.state is BreakState.OPEN
    assert each.age_s(NOW) == (NOW - NOON).total_seconds()


def test_found_again_it_keeps_its_first_day() -> None:
    """And is the same break, however often it is found."""
    run = after_run(first_run(), [DIFFERS], DAY, NOW)
    (each,) = run.again
    assert (each.first_found_at, each.last_found_at) == (NOON, NOW)
    assert run.open == (each,)
    assert not run.new


def test_what_the_report_no_longer_shows_is_resolved_by_it() -> None:
    """By nobody's hand."""
    (each,) = after_run(first_run(), [], DAY, NOW).gone
    assert each.resolution is not None
    assert (each.resolution.by, each.resolution.at) == (None, NOW)


@pytest.mark.parametrize(
    "period",
    [
        NEXT_DAY,
        Period(NOON, NEXT_DAY.end),
        Period(NOON - MARGIN / 2, NEXT_DAY.end),
        Period(START, NOON + MARGIN),
    ],
)
def test_a_report_that_need_not_show_it_resolves_nothing(period: Period) -> None:
    """Another day's report is silent about it."""
    run = after_run(first_run(), [], period, NOW)
    assert not run.gone


def test_what_came_back_is_open_again() -> None:
    """A report had lost it, and the next one shows it."""
    gone = tracked(after_run(first_run(), [], DAY, NOW))
    (each,) = after_run(gone, [DIFFERS], DAY, NOW).open
    assert each.first_found_at == NOON


def test_what_was_signed_for_stays_resolved_while_it_looks_the_same() -> None:
    """The report of that day shows it for ever."""
    signed = {DIFFERS.id: resolved(first_run()[DIFFERS.id], "ada", "a known fee", NOON)}
    run = after_run(signed, [DIFFERS], DAY, NOW)
    (each,) = run.again
    assert each.resolution is not None
    assert (each.resolution.by, each.resolution.reason) == ("ada", "a known fee")
    assert not run.open
    worse = replace(DIFFERS, there=usd(3_000))
    (each,) = after_run(signed, [worse], DAY, NOW).open
    assert each.found == worse
    assert not after_run(signed, [], DAY, NOW).gone
