"""What is spilled answers as what is in memory, and memory holds no more than it may."""

import asyncio
from collections import defaultdict
from pathlib import Path
from typing import Final

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.indices import Index
from simulator.journal_report import JournalReport
from simulator.spill import Spill, Spilled, SpillError
from tests.support.simulator.counter import paypal_counter, stripe_counter
from tests.support.simulator.spills import FEWEST, spill

_KEYS: Final = st.text(max_size=2)
_ORDER: Final = b"""{"intent":"CAPTURE","payment_source":{"card":{"vault_id":"vaulted"}},
"purchase_units":[{"custom_id":"%d","amount":{"currency_code":"USD","value":"10.00"}}]}"""


def _numbers(hot_max: int) -> Spilled[int]:
    return Spilled(spill(hot_max), orjson.loads)


@given(
    st.integers(FEWEST, 12),
    st.lists(st.tuples(st.sampled_from(("set", "get", "list")), _KEYS, st.integers(0, 99))),
)
def test_a_spilled_mapping_is_a_dict(hot_max: int, steps: list[tuple[str, str, int]]) -> None:
    """Whatever is set and asked for, in whatever order, with however little memory."""
    plain: dict[str, int] = {}
    spilled = _numbers(hot_max)
    for step, key, value in steps:
        match step:
            case "set":
                assert spilled.put(key, value) is (key not in plain)
                plain[key] = value
            case "get":
                assert spilled.get(key) == plain.get(key)
                assert (key in spilled) is (key in plain)
            case _:
                values = [*plain.values()]
                assert [*spilled.oldest_first(value)] == values[value:]
                assert [*spilled.newest_first(min(value, len(plain)))] == values[:value][::-1]
        assert spilled.in_memory <= hot_max
        assert len(spilled) == len(plain)
    assert {key: spilled[key] for key in plain} == plain
    assert [spilled.place(key) for key in plain] == [*range(len(plain))]
    assert [*spilled.newest_first()] == [*plain.values()][::-1]


def test_a_change_of_what_was_spilled_is_written_again() -> None:
    """Before it leaves memory for a second time."""
    numbers = _numbers(FEWEST)
    for number in range(10):
        numbers[str(number)] = number
    numbers["0"] = 100
    assert [numbers[key] for key in "12340"] == [1, 2, 3, 4, 100]


@given(st.lists(st.tuples(_KEYS, _KEYS)))
def test_an_index_has_all_ids_of_a_name(added: list[tuple[str, str]]) -> None:
    """The newest first, as often as they were added."""
    index = Index(spill(FEWEST))
    plain: defaultdict[str, list[str]] = defaultdict(list)
    for name, one in added:
        index.add(name, one)
        plain[name].append(one)
    assert {name: [*index.newest_first(name)][::-1] for name in plain} == plain
    assert [*index.newest_first("nobody")] == []


def test_what_is_not_there_has_no_place() -> None:
    """Neither in memory nor in the file."""
    numbers = _numbers(FEWEST)
    for number in range(10):
        numbers[str(number)] = number
    for ask in (numbers.place, numbers.__getitem__):
        with pytest.raises(KeyError):
            ask("ten")


def test_a_page_from_the_middle_of_a_long_list_goes_on_into_memory() -> None:
    """Of more values than are read at once, in both directions."""
    numbers = _numbers(30)
    for number in range(1000):
        numbers[str(number)] = number
    middle = numbers.place("500")
    assert [*numbers.oldest_first(middle)] == [*range(500, 1000)]
    assert [*numbers.newest_first(middle)] == [*range(499, -1, -1)]


def test_memory_is_flat_in_the_number_of_payments() -> None:
    """Of each kind a vendor has on record, a few are in memory, however many there are."""
    stripe, paypal = stripe_counter(), paypal_counter()
    for number in range(40):
        stripe.ask("POST", "/v1/payment_intents", b"amount=1000&currency=usd&confirm=true"
                   b"&payment_method=pm_card_visa&payment_method_types[]=card"
                   b"&metadata[payment_id]=%d" % number, f"key {number}")  # fmt: skip
        paypal.ask("POST", "/v2/checkout/orders", _ORDER % number, f"key {number}")
    for counter in (stripe, paypal):
        assert len(counter.vendor.keys) == 40
        held = [*_spilled_of(counter.vendor), *_spilled_of(counter.reports)]
        assert max(len(one) for one in held) == 40
        assert all(one.in_memory <= FEWEST for one in held)
        assert counter.report("0").charges == 1


def _spilled_of(holder: object) -> list[Spilled[object]]:
    """All mappings that hang on an object of the simulator's."""
    if isinstance(holder, Spilled):
        return [holder]
    if not isinstance(holder, JournalReport) and not type(holder).__module__.startswith(
        "simulator."
    ):
        return []
    held = vars(holder).values() if hasattr(holder, "__dict__") else ()
    return [one for each in held for one in _spilled_of(each)]


def test_the_file_has_no_name(tmp_path: Path) -> None:
    """What an earlier one left behind is gone too, however this process ends."""
    path = tmp_path / "spill"
    path.write_bytes(b"left behind")
    file = Spill(path, FEWEST)
    numbers: Spilled[int] = Spilled(file, orjson.loads)
    for number in range(100):
        numbers[str(number)] = number
    assert numbers["0"] == 0
    assert [*tmp_path.iterdir()] == []
    file.close()


def test_a_file_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    """With where it should have been."""
    (tmp_path / "file").touch()
    with pytest.raises(SpillError, match=r"cannot make .*/spill"):
        Spill(tmp_path / "file" / "spill")


def _fill(numbers: Spilled[str]) -> None:
    for number in range(1000):
        numbers[str(number)] = "long" * 1000


async def test_a_full_disk_ends_who_watches() -> None:
    """Whoever met it: what is not in the file is nowhere."""
    file = spill(FEWEST)
    numbers: Spilled[str] = Spilled(file, orjson.loads)
    watching = asyncio.create_task(file.watch())
    file.read("PRAGMA max_page_count = 16")
    with pytest.raises(SpillError, match=r"spill: database or disk is full"):
        _fill(numbers)
    with pytest.raises(SpillError, match="full"):
        await watching
