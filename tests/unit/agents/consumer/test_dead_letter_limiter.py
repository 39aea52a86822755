"""The bound on dead letters: a flood stops the stage, single poison never does."""

import pytest

from agents.consumer.dead_letter_limiter import DeadLetterLimiter


def watched(messages: str, ratio_max: float = 0.5, window: int = 20) -> DeadLetterLimiter:
    """A limiter that saw these messages: `x` was parked, `.` was not."""
    limiter = DeadLetterLimiter(ratio_max, window)
    for message in messages:
        limiter.saw(parked=message == "x")
    return limiter


@pytest.mark.parametrize(
    ("messages", "stops"),
    [
        ("", False),
        ("x", False),
        ("x" * 10, False),
        ("x" * 11, True),
        ("." * 1000 + "x" * 10, False),
        ("." * 1000 + "x" * 11, True),
        ("x." * 1000, False),
        ("xx." * 20, True),
        ("x" * 10 + "." * 10 + "x" * 10, False),
        (("x" * 10 + "." * 20) * 50, False),
    ],
)
def test_more_than_the_share_of_a_window_stops(messages: str, stops: bool) -> None:  # noqa: FBT001 - pytest's parameters are positional
    """Half of twenty may be parked, however many were before; one more may not."""
    assert watched(messages).is_exceeded is stops


def test_what_stopped_stays_stopped() -> None:
    """Messages that were under way when the bound was passed do not set it going again."""
    assert watched("x" * 11 + "." * 1000).is_exceeded


def test_a_ratio_of_one_never_stops() -> None:
    """The way to switch the bound off."""
    assert not watched("x" * 1000, ratio_max=1.0).is_exceeded


@pytest.mark.parametrize(("ratio_max", "window"), [(0.5, 19), (0.0, 20), (1.1, 20)])
def test_a_bound_that_poison_in_small_numbers_could_pass_is_refused(
    ratio_max: float, window: int
) -> None:
    """A short window would stop a stage for one bad message in a quiet minute."""
    with pytest.raises(ValueError, match="is no bound"):
        DeadLetterLimiter(ratio_max, window)
