"""Identifiers sort by time, carry their time, and derived ones are functions of their names."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from payments.ids import ID_RESOLUTION_NS, dead_letter_id, system_account_id, uuid7
from store.ids import IdSource

# From 1970 to the year 10889, where 48 bits of milliseconds end.
instants_ns = st.integers(0, (1 << 48) * 1_000_000 - 1 - ID_RESOLUTION_NS)
entropy = st.integers(0, (1 << 62) - 1)
names = st.text(min_size=1, max_size=20)


@given(instants_ns, entropy)
def test_an_id_is_a_uuid7_of_its_millisecond(unix_ns: int, bits: int) -> None:
    """Version and variant are RFC 9562's, and the first 48 bits are the milliseconds."""
    made = uuid7(unix_ns, bits)
    assert made.version == 7
    assert made.variant == "specified in RFC 4122"
    assert made.int >> 80 == unix_ns // 1_000_000
    assert made.int & ((1 << 62) - 1) == bits


@given(instants_ns, entropy, entropy)
def test_ids_one_resolution_apart_sort_by_time(unix_ns: int, first: int, second: int) -> None:
    """Whatever the entropy, a later id is greater, as number, as text and as Postgres sorts."""
    earlier, later = uuid7(unix_ns, first), uuid7(unix_ns + ID_RESOLUTION_NS, second)
    assert earlier < later
    assert str(earlier) < str(later)
    assert earlier.bytes < later.bytes


@given(st.lists(st.integers(0, 10_000_000), min_size=2, max_size=50))
def test_a_source_gives_increasing_ids_whatever_its_clock_does(clock: list[int]) -> None:
    """A clock that stands still or runs back makes no id that sorts before another."""
    readings = iter(clock)
    source = IdSource(lambda: next(readings), lambda _bits: 0)
    made = [source() for _ in clock]
    assert all(earlier < later for earlier, later in pairwise(made))


@given(st.tuples(names, names, names), st.tuples(names, names, names))
def test_a_derived_id_is_a_function_of_its_names(
    one: tuple[str, str, str], other: tuple[str, str, str]
) -> None:
    """Any process computes the same id of the same names."""
    assert system_account_id(*one) == system_account_id(*one)
    if "/".join(one) != "/".join(other):
        assert system_account_id(*one) != system_account_id(*other)


def test_a_letter_is_named_by_stage_and_message() -> None:
    """The same message at two stages is two letters, at one stage one."""
    assert dead_letter_id("charge", "m1") == dead_letter_id("charge", "m1")
    made = [dead_letter_id(stage, message) for stage in ("charge", "refund") for message in "ab"]
    assert len(set(made)) == 4
