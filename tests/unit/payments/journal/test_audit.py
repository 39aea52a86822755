"""Whatever is done to a sealed journal is found, and named."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Final
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from payments.journal.audit import Audit, JournalItem, Problem, Tampering
from payments.journal.seals import JournalRow, Seal
from tests.support.payments.journals import row, sealed

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

# Rows 10, 20 ... 90 in seals of 3, 4 and 1; the ninth waits.
ROWS: Final = [row(10 * number) for number in range(1, 10)]
JOURNAL: Final = sealed(ROWS, 3, 4, 1)
SEALS: Final = [each for each in JOURNAL if isinstance(each, Seal)]


def problems_of(
    items: Sequence[JournalItem],
    *,
    known: Mapping[str, Seal] | None = None,
    sealed_up_to: int = 0,
) -> list[Problem]:
    audit = Audit(known)
    found = [problem for item in items for problem in audit.take(item)]
    return found + list(audit.end(UUID(int=sealed_up_to)))


def named(problems: Sequence[Problem]) -> list[tuple[str, str]]:
    return [(each.tampering.value, each.subject) for each in problems]


def without(*removed: JournalItem) -> list[JournalItem]:
    return [each for each in JOURNAL if each not in removed]


def with_instead(old: JournalItem, *new: JournalItem) -> list[JournalItem]:
    at = JOURNAL.index(old)
    return [*JOURNAL[:at], *new, *JOURNAL[at + 1 :]]


def name_of(number: int) -> str:
    return f"row {UUID(int=number)}"


def test_what_nobody_touched_holds() -> None:
    """Nine rows, of which one waits for its seal."""
    audit = Audit({"default": SEALS[0]})
    assert [problem for item in JOURNAL for problem in audit.take(item)] == []
    assert list(audit.end(SEALS[-1].last_id)) == []
    assert (audit.rows, audit.seals, audit.unsealed) == (9, 3, 1)


CASES: Final[dict[str, tuple[list[JournalItem], list[tuple[str, str]]]]] = {
    "a changed amount": (
        with_instead(ROWS[1], replace(ROWS[1], amount_minor=1)),
        [("row changed", name_of(20))],
    ),
    "an id that is another": (
        with_instead(ROWS[4], replace(ROWS[4], id=UUID(int=51))),
        [("row changed", name_of(51))],
    ),
    "two changes in two seals": (
        [replace(each, amount_minor=1) if each in (ROWS[0], ROWS[6]) else each for each in JOURNAL],
        [("row changed", name_of(10)), ("row changed", name_of(70))],
    ),
    "the first row of a seal deleted": (without(ROWS[3]), [("row deleted", name_of(40))]),
    "the last row of a seal deleted": (without(ROWS[6]), [("row deleted", name_of(70))]),
    "a row in the middle deleted": (
        without(ROWS[5]),
        [("row deleted", f"a row after {UUID(int=50)}")],
    ),
    "all rows of a seal deleted": (without(ROWS[7]), [("row deleted", name_of(80))]),
    "a row inserted": (
        with_instead(ROWS[1], ROWS[1], row(25)),
        [("row inserted", name_of(25))],
    ),
    "a row inserted before all": ([row(5), *JOURNAL], [("row inserted", name_of(5))]),
    "a row twice": (with_instead(ROWS[1], ROWS[1], ROWS[1]), [("row inserted", name_of(20))]),
    "two rows in another order": (
        [ROWS[5] if each is ROWS[4] else ROWS[4] if each is ROWS[5] else each for each in JOURNAL],
        [("row moved", name_of(60)), ("row moved", name_of(50))],
    ),
    "a row moved to the next seal": (
        [*without(ROWS[2])[:3], ROWS[2], *without(ROWS[2])[3:]],
        [("row deleted", name_of(30)), ("row inserted", name_of(30))],
    ),
    "a seal with another digest": (
        with_instead(SEALS[1], replace(SEALS[1], digest="0" * 64)),
        [("seal changed", "seal 2")],
    ),
    "a seal with another time": (
        with_instead(SEALS[0], replace(SEALS[0], sealed_at=SEALS[0].sealed_at - timedelta(days=1))),
        [("seal changed", "seal 1")],
    ),
    "a seal with other fingerprints": (
        with_instead(SEALS[2], replace(SEALS[2], fingerprints="0" * 16)),
        [("seal changed", "seal 3")],
    ),
    "a seal that counts more rows": (
        with_instead(SEALS[2], replace(SEALS[2], row_count=2)),
        [("seal changed", "seal 3")],
    ),
    "a seal deleted": (without(SEALS[1]), [("seal missing", "seal 2")]),
    "two seals deleted": (without(SEALS[0], SEALS[1]), [("seal missing", "seals 1 to 2")]),
    "a seal twice": (
        with_instead(SEALS[2], SEALS[2], SEALS[2]),
        [("seal changed", "seal 3"), ("row deleted", name_of(80))],
    ),
    "a seal and its row made anew": (
        [*JOURNAL[:4], *sealed([row(41), *ROWS[4:7]], 4), *JOURNAL[9:]],
        [
            ("seal changed", "seal 1"),
            ("seal replaced", "seal 1"),
            ("seal missing", "seal 2"),
        ],
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_what_was_done_is_named(case: str) -> None:
    """Each finding says what was done and to what, and nothing else is found."""
    items, expected = CASES[case]
    assert named(problems_of(items)) == expected


def test_a_seal_made_anew_does_not_fit_the_next() -> None:
    """A row changed and its seal made anew still leaves the seal after it."""
    forged = sealed([ROWS[0], replace(ROWS[1], amount_minor=1), ROWS[2]], 3)
    assert named(problems_of([*forged, *JOURNAL[4:]])) == [("seal replaced", "seal 2")]


def test_a_chain_made_anew_is_found_by_a_seal_known_before() -> None:
    """Nothing within it is wrong; what was noted elsewhere says it is another."""
    forged = sealed([replace(ROWS[0], amount_minor=1), *ROWS[1:]], 3, 4, 1)
    assert problems_of(forged) == []
    for known in SEALS:
        (problem,) = problems_of(forged, known={"default": known})
        assert named([problem]) == [("seal replaced", f"seal {known.number}")]
        assert str(problem).startswith(f"default: seal {known.number}: seal replaced: its digest")


def test_a_journal_cut_short_is_found_by_a_seal_known_before() -> None:
    """The last seals may be deleted with their rows, and nothing left tells."""
    short = JOURNAL[: JOURNAL.index(SEALS[2]) - 1]
    assert problems_of(short) == []
    known = {"default": SEALS[2], "gone": SEALS[0]}
    assert named(problems_of(short, known=known)) == [
        ("seal missing", "seal 3"),
        ("seal missing", "seal 1"),
    ]


def test_a_row_behind_the_seals_is_named() -> None:
    """A row that is older than what is sealed, in a tenant that was quiet, was put there."""
    late = [*JOURNAL, row(75, "quiet"), row(85, "quiet")]
    assert named(problems_of(late)) == [("row inserted", name_of(75))]
    assert len(problems_of(late, sealed_up_to=85)) == 2


def test_tenants_do_not_mix() -> None:
    """Each has its own chain, whichever rows come first."""
    other = sealed([row(number, "other") for number in (15, 35, 85)], 2, 1)
    both = sorted([*JOURNAL, *other], key=position)
    assert problems_of(both) == []
    found = problems_of([each for each in both if each is not other[0]])
    assert [each.tenant_id for each in found] == ["other"]


def position(item: JournalItem) -> tuple[UUID, bool]:
    return (item.last_id, True) if isinstance(item, Seal) else (item.id, False)


@given(st.data())
def test_no_single_change_goes_unseen(data: st.DataObject) -> None:
    """Whatever item of the sealed part is altered, dropped, doubled or swapped."""
    items = JOURNAL[:-1]
    at = data.draw(st.integers(0, len(items) - 1))
    item = items[at]
    hurt: dict[str, Callable[[], list[JournalItem]]] = {
        "alter": lambda: [*items[:at], altered(item), *items[at + 1 :]],
        "drop": lambda: [*items[:at], *items[at + 1 :]],
        "double": lambda: [*items[: at + 1], *items[at:]],
        "swap": lambda: [*items[:at], *reversed(items[at : at + 2]), *items[at + 2 :]],
    }
    items_now = hurt[data.draw(st.sampled_from(sorted(hurt)))]()
    known = {"default": SEALS[-1]}
    assert items_now == items or problems_of(items_now, known=known)


def altered(item: JournalItem) -> JournalItem:
    if isinstance(item, JournalRow):
        return replace(item, amount_minor=item.amount_minor + 1)
    return replace(item, number=item.number + 1)


def test_every_kind_of_tampering_has_its_case() -> None:
    """A new kind comes with a case that shows it."""
    shown = {name for _, expected in CASES.values() for name, _ in expected}
    assert shown == {each.value for each in Tampering}
