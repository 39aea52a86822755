"""How `If-Match` and `If-None-Match` are read (RFC 9110, section 13)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from api.http.preconditions import accepted_versions, conditional, refuse_if_match
from api.http.problems import Problem
from store.write.group_commit import Answer

TAGGED = Answer(200, {"ETag": '"7"'}, b"{}")
UNTAGGED = Answer(200, {}, b"{}")


def _sent(name: str, *values: str) -> CIMultiDict[str]:
    return CIMultiDict((name, value) for value in values)


def _status(sent: CIMultiDict[str], answer: Answer) -> int:
    try:
        return conditional(sent, answer).status
    except Problem as problem:
        return problem.kind.status


@pytest.mark.parametrize(
    ("values", "versions"),
    [
        ((), None),
        (("*",), None),
        ((" * ",), None),
        (('"7"',), {7}),
        (('"7", "8"',), {7, 8}),
        (('"7"', '"8","9"'), {7, 8, 9}),
        ((' ,\t"7",, "8" , ',), {7, 8}),
        (('W/"7"',), set()),
        (('W/"7", "8"',), {8}),
        (('""',), set()),
        (('"0"',), set()),
        (('"07"',), set()),
        (('"+7"',), set()),
        (('"7.0"',), set()),
        (('"\u0667"',), set()),
        (('"*"',), set()),
        (('"a,b", "7"',), {7}),
        (('"' + "9" * 20 + '"',), set()),
        (('"\udcff"',), set()),
    ],
)
def test_the_versions_a_client_accepts_are_its_strong_tags(
    values: tuple[str, ...], versions: set[int] | None
) -> None:
    """Compared character by character, so only as we write them; no header and `*` accept all."""
    assert accepted_versions(_sent("If-Match", *values)) == versions


@pytest.mark.parametrize(
    "value",
    ["", " ", ",", "7", "W/7", 'w/"7"', '"7', '7"', '"7" "8"', '*,"7"', '"7",*', '"7"x', '"7 "',
     "'7'", "**", '"\x7f"'],
)  # fmt: skip
def test_what_is_no_list_of_tags_is_refused(value: str) -> None:
    """400, wherever it is read."""
    for read in (accepted_versions, refuse_if_match, lambda sent: conditional(sent, TAGGED)):
        with pytest.raises(Problem) as refusal:
            read(_sent("If-Match", value))
        assert (refusal.value.kind.code, refusal.value.kind.status) == ("precondition_invalid", 400)


@pytest.mark.parametrize(
    ("name", "value", "tagged", "untagged"),
    [
        ("If-Match", "*", 200, 200),
        ("If-Match", '"7"', 200, 412),
        ("If-Match", '"6", "7"', 200, 412),
        ("If-Match", 'W/"7"', 412, 412),
        ("If-Match", '"6"', 412, 412),
        ("If-None-Match", "*", 304, 304),
        ("If-None-Match", '"7"', 304, 200),
        ("If-None-Match", 'W/"7"', 304, 200),
        ("If-None-Match", '"6", W/"7"', 304, 200),
        ("If-None-Match", '"6"', 200, 200),
    ],
)
def test_a_get_is_judged_by_its_answers_tag(
    name: str, value: str, tagged: int, untagged: int
) -> None:
    """`If-Match` compares strongly and `If-None-Match` weakly; without a tag nothing matches."""
    assert _status(_sent(name, value), TAGGED) == tagged
    assert _status(_sent(name, value), UNTAGGED) == untagged


def test_a_failure_comes_before_a_condition() -> None:
    """What would not have been 200 is what it would have been (section 13.2.1)."""
    failed = Answer(503, {}, b"{}")
    assert conditional(_sent("If-Match", '"1"'), failed) is failed
    assert conditional(_sent("If-None-Match", "*"), failed) is failed


def test_if_match_is_judged_before_if_none_match() -> None:
    """The order of section 13.2.2; but what cannot be read is refused before anything is judged."""
    sent = CIMultiDict([("If-None-Match", '"7"'), ("If-Match", '"6"')])
    assert _status(sent, TAGGED) == 412
    unreadable = CIMultiDict([("If-None-Match", "7"), ("If-Match", '"6"')])
    assert _status(unreadable, TAGGED) == 400


def test_where_nothing_has_a_version_only_a_star_is_met() -> None:
    """A request that insists on one is refused, not performed as if it did not."""
    refuse_if_match(_sent("If-Match"))
    refuse_if_match(_sent("If-Match", "*"))
    for value in ('"1"', 'W/"1"', '"1", "2"'):
        with pytest.raises(Problem) as refusal:
            refuse_if_match(_sent("If-Match", value))
        assert refusal.value.kind.status == 412


@given(st.lists(st.text(st.sampled_from('"W/*, \t7\\'), max_size=60), max_size=3))
def test_whatever_is_sent_is_versions_or_a_refusal(values: list[str]) -> None:
    """Never anything else."""
    try:
        versions = accepted_versions(_sent("If-Match", *values))
    except Problem:
        return
    assert versions is None or versions <= {7, 77, 777} | {int("7" * n) for n in range(4, 20)}
