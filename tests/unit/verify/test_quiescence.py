"""Whose lag breaks a promise: that of our stages, and nobody else's."""

from __future__ import annotations

from datetime import UTC, datetime

from lag import GroupLag, GroupState, SlotLag, StreamsReport
from verify.quiescence import lag_result


def report(*groups: GroupLag, slots: tuple[SlotLag, ...] = ()) -> StreamsReport:
    return StreamsReport(datetime(2026, 1, 1, tzinfo=UTC), groups, slots, (), (), ())


def group(name: str, state: GroupState, seconds: float) -> GroupLag:
    return GroupLag(name, "payments.events", state, 0, 7, seconds, 0.0, None, ())


def test_a_subscriber_that_stopped_breaks_no_promise() -> None:
    """How far it has read is its own affair; it is shown as lag, and is not a violation."""
    result = lag_result(report(group("mail", GroupState.STOPPED, 7200.0)), ())
    assert (result.checked, result.violations) == (0, ())


def test_a_slot_of_somebody_elses_breaks_no_promise() -> None:
    """A reader of changes that has stopped, in the same database; one of ours is missed."""
    slots = [
        SlotLag(name, active=False, wal_status=status, bytes=0, seconds=0.0, safe_wal_bytes=None)
        for name, status in (("warehouse", "reserved"), ("payments_kafka", "missing"))
    ]
    result = lag_result(report(slots=tuple(slots)), ())
    assert (result.checked, len(result.violations)) == (1, 1)
    assert "payments_kafka" in result.violations[0].subject


def test_a_stage_nobody_knows_of_breaks_one() -> None:
    """What is not known is not nothing."""
    unknown = GroupLag(
        "payments.charge", "payments.charges", GroupState.UNKNOWN, None, None, None, 0.0, None, ()
    )
    (violation,) = lag_result(report(unknown), ()).violations
    assert "nobody knows how many messages" in violation.problem


def test_a_stage_that_stopped_or_lags_breaks_one() -> None:
    """Nobody works there, or not fast enough."""
    stopped = group("payments.charge", GroupState.STOPPED, 0.1)
    slow = group("payments.refund", GroupState.WARNING, 61.0)
    well = group("payments.dead-letters", GroupState.OK, 59.0)
    result = lag_result(report(stopped, slow, well), ())
    assert [each.subject for each in result.violations] == [
        "group payments.charge",
        "group payments.refund",
    ]
