"""How much is under way at once: of one endpoint, of those that are slow, and in all."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID, uuid4

from agents.deliver.pace import PER_ENDPOINT_MAX, Pace


@dataclass
class Clock:
    now: float = 0.0

    def __call__(self) -> float:
        return self.now


def room_of(pace: Pace, endpoint_id: UUID) -> tuple[int, bool]:
    (found,) = [each for each in pace.rooms() if each.endpoint_id == endpoint_id]
    return found.room, found.is_proven


def test_an_endpoint_is_allowed_more_as_it_takes_more() -> None:
    """Twice as many each time, up to a bound; half as many when it does not."""
    pace, endpoint_id = Pace(Clock()), uuid4()
    for expected in (2, 4, 8, 16, 32, PER_ENDPOINT_MAX):
        delivery_id = uuid4()
        pace.begin(endpoint_id, delivery_id)
        pace.end(endpoint_id, delivery_id, is_taken=True)
        assert room_of(pace, endpoint_id) == (expected, True)
    for expected in (16, 8, 4, 2):
        delivery_id = uuid4()
        pace.begin(endpoint_id, delivery_id)
        pace.end(endpoint_id, delivery_id, is_taken=False)
        assert room_of(pace, endpoint_id) == (expected, True)
    last = uuid4()
    pace.begin(endpoint_id, last)
    pace.end(endpoint_id, last, is_taken=False)
    assert room_of(pace, endpoint_id) == (1, False)


def test_those_that_hang_have_half_of_all_places() -> None:
    """Though they were prompt until now; what they have under way counts against their half."""
    clock = Clock()
    pace, endpoint_id = Pace(clock, in_flight_max=8), uuid4()
    for _ in range(3):
        delivery_id = uuid4()
        pace.begin(endpoint_id, delivery_id)
        pace.end(endpoint_id, delivery_id, is_taken=True)
    for _ in range(3):
        pace.begin(endpoint_id, uuid4())
    assert (pace.room, pace.unproven_room) == (5, 4)
    clock.now = 2.0
    assert room_of(pace, endpoint_id) == (5, False)
    assert (pace.room, pace.unproven_room) == (5, 1)
    clock.now = 1000.0
    assert len(pace.rooms()) == 1, "what has something under way is not forgotten"


def test_a_try_that_is_begun_twice_ends_twice() -> None:
    """Its lease ran out while it was under way, as it does where a clock is set forward."""
    pace, endpoint_id, delivery_id = Pace(Clock()), uuid4(), uuid4()
    for _ in range(2):
        pace.begin(endpoint_id, delivery_id)
    assert pace.in_flight == 1
    for _ in range(2):
        pace.end(endpoint_id, delivery_id, is_taken=False)
    assert pace.in_flight == 0
