"""Rates, drain times, states and ages follow from a series of measurements alone."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lag.history import LSN_SAMPLES_MAX, GroupHistory, LsnHistory, Sample
from lag.report import GroupState, worst


def history_of(*series: tuple[float, int, int]) -> GroupHistory:
    """(seconds, acknowledged, lag) in order."""
    made = GroupHistory()
    for at, acknowledged, lag in series:
        made.add(Sample(at, acknowledged, lag))
    return made


def every_two_seconds(
    acknowledged: list[int], lag: list[int], *, is_owned: bool = True
) -> GroupHistory:
    """A sample each 2 s, as an exporter takes them."""
    made = GroupHistory()
    for i, (done, left) in enumerate(zip(acknowledged, lag, strict=True)):
        made.add(Sample(2.0 * i, done, left, is_owned=is_owned))
    return made


def test_one_sample_has_no_rate_and_no_drain_time() -> None:
    """What is not known is zero for a rate and None for a time."""
    one = history_of((0.0, 100, 10))
    assert (one.per_second, one.drain_seconds) == (0.0, None)


def test_the_rate_is_what_was_acknowledged_a_second() -> None:
    """Over the whole window."""
    assert history_of((0.0, 100, 0), (5.0, 120, 0), (10.0, 200, 0)).per_second == 10.0


def test_a_rewound_group_has_no_negative_rate() -> None:
    """An operator who resets offsets does not make time run backwards."""
    assert history_of((0.0, 100, 0), (10.0, 50, 50)).per_second == 0.0


def test_the_drain_time_counts_what_still_arrives() -> None:
    """The pace at which the lag itself shrinks, not the rate of work."""
    assert history_of((0.0, 0, 100), (10.0, 500, 50)).drain_seconds == 10.0
    assert history_of((0.0, 0, 50), (10.0, 500, 50)).drain_seconds is None
    assert history_of((0.0, 0, 50), (10.0, 500, 0)).drain_seconds == 0.0


def test_what_is_older_than_the_window_is_forgotten() -> None:
    """A burst a minute ago says nothing about now."""
    assert history_of((0.0, 0, 0), (60.0, 6000, 0), (80.0, 6000, 0)).per_second == 0.0


@pytest.mark.parametrize(
    ("case", "history", "members", "expected"),
    [
        ("nobody there, lag", history_of((0, 0, 9)), 0, GroupState.STOPPED),
        ("nobody there, no lag", history_of((0, 9, 0)), 0, GroupState.STOPPED),
        ("just started", history_of((0, 0, 9)), 1, GroupState.OK),
        ("idle", every_two_seconds([5] * 10, [0] * 10), 1, GroupState.OK),
        ("stuck", every_two_seconds([5] * 10, [3] * 10), 1, GroupState.STALLED),
        ("stuck, growing", every_two_seconds([5] * 10, list(range(1, 11))), 1, GroupState.STALLED),
        ("stuck too briefly", every_two_seconds([5] * 4, [3] * 4), 1, GroupState.OK),
        ("moved lately", every_two_seconds([5] * 8 + [6, 6], [3] * 9 + [2]), 1, GroupState.OK),
        ("emptied lately", every_two_seconds([5] * 10, [3] * 6 + [0, 3, 3, 3]), 1, GroupState.OK),
        ("grows", every_two_seconds(list(range(10)), list(range(0, 50, 5))), 1, GroupState.OK),
        ("grows, never done", every_two_seconds(list(range(10)), list(range(5, 55, 5))), 1,
         GroupState.WARNING),
        ("grows by fits", every_two_seconds(list(range(10)), [5, 4, 9, 8, 10, 20, 19, 25, 24, 30]),
         1, GroupState.WARNING),
        ("as far behind as ever", every_two_seconds(list(range(10)), [40] * 10), 1,
         GroupState.WARNING),
        ("saw-tooth of commits", every_two_seconds(list(range(10)), [1, 40] * 5), 1,
         GroupState.OK),
        ("shrinks", every_two_seconds(list(range(10)), list(range(50, 0, -5))), 1, GroupState.OK),
        ("grows too briefly", every_two_seconds(list(range(4)), [1, 5, 10, 15]), 1, GroupState.OK),
        ("went back", every_two_seconds([5, 9, 3], [4, 1, 7]), 1, GroupState.REWIND),
        ("went back and on", every_two_seconds([5, 9, 3, 10], [4, 1, 7, 1]), 1, GroupState.OK),
        ("went back to the end", every_two_seconds([5, 9, 3], [4, 1, 0]), 1, GroupState.OK),
        ("nobody has it", every_two_seconds([5] * 10, [3] * 10, is_owned=False), 1,
         GroupState.STOPPED),
        ("nobody has it, no lag", every_two_seconds([5] * 10, [0] * 10, is_owned=False), 1,
         GroupState.OK),
        ("nobody has it yet", every_two_seconds([5] * 4, [3] * 4, is_owned=False), 1,
         GroupState.OK),
    ],
)  # fmt: skip
def test_the_state_of_a_group(
    case: str, history: GroupHistory, members: int, expected: GroupState
) -> None:
    """Stopped before gone back before stalled before falling behind before ok."""
    assert history.state(members) is expected, case


def test_a_group_is_as_well_as_its_worst_partition() -> None:
    """One that is stuck is not made up for by those that are not."""
    assert worst([GroupState.OK, GroupState.STALLED, GroupState.WARNING]) is GroupState.STALLED
    assert worst([GroupState.UNKNOWN, GroupState.WARNING]) is GroupState.UNKNOWN
    assert worst([]) is GroupState.OK


def test_a_confirmed_position_has_no_age() -> None:
    """Up to date is zero, whatever the clock says."""
    history = LsnHistory()
    history.add(1000, 0.0)
    assert history.age(1000, 500.0) == 0.0
    assert history.age(2000, 500.0) == 0.0


def test_an_age_is_interpolated_between_samples() -> None:
    """Half-way between two positions is half-way between their times."""
    history = LsnHistory()
    history.add(1000, 10.0)
    history.add(2000, 20.0)
    assert history.age(1500, 30.0) == pytest.approx(15.0)


def test_after_a_pause_the_end_of_the_pause_counts() -> None:
    """What is not confirmed was written after the WAL had stood still."""
    history = LsnHistory()
    for at in (0.0, 2.0, 4.0, 600.0):
        history.add(1000, at)
    history.add(1100, 602.0)
    assert history.age(1000, 603.0) == pytest.approx(3.0)


def test_before_the_history_an_age_is_a_lower_bound() -> None:
    """At least as old as the first sample."""
    history = LsnHistory()
    history.add(1000, 10.0)
    history.add(2000, 20.0)
    assert history.age(500, 30.0) == 20.0


def test_without_a_history_there_is_no_age() -> None:
    """Unknown is None."""
    assert LsnHistory().age(5, 1.0) is None


def test_a_position_that_goes_back_begins_a_new_history() -> None:
    """Another server answers after a restore; its past is another."""
    history = LsnHistory()
    history.add(5000, 10.0)
    history.add(100, 20.0)
    assert history.age(50, 25.0) == 5.0


def test_the_history_is_bounded() -> None:
    """Hours of a busy WAL cost a bounded memory, and recent ages stay exact."""
    history = LsnHistory()
    for i in range(LSN_SAMPLES_MAX + 10):
        history.add(i * 100, float(i))
    last = LSN_SAMPLES_MAX + 9
    assert history.age((last - 5) * 100, float(last)) == pytest.approx(5.0)


@given(
    steps=st.lists(st.tuples(st.integers(0, 1000), st.floats(0.1, 10.0)), min_size=2, max_size=50),
    confirmed=st.integers(0, 50_000),
)
def test_an_age_is_within_the_history_and_falls_with_progress(
    steps: list[tuple[int, float]], confirmed: int
) -> None:
    """Never negative, never older than the first sample, smaller the more is confirmed."""
    history, lsn, now = LsnHistory(), 0, 0.0
    for more, later in steps:
        lsn, now = lsn + more, now + later
        history.add(lsn, now)
    age, better = history.age(confirmed, now), history.age(confirmed + 100, now)
    assert age is not None
    assert better is not None
    assert 0.0 <= better <= age <= now - steps[0][1] + 0.001  # rounded to milliseconds
