"""How long a client would rather wait than ask again."""

import pytest

from api.http.preferences import wait_seconds


@pytest.mark.parametrize(
    ("sent", "seconds"),
    [
        ([], None),
        (["wait=10"], 10),
        (["Wait = 10"], 10),
        (['wait="10"'], 10),
        (["respond-async, wait=5"], 5),
        (["respond-async", "wait=5;x=1"], 5),
        (["wait=1, wait=2"], 1),
        (["wait=31"], 30),
        (["wait=999999999"], 30),
        (["wait=0"], 0),
        (["wait=-1"], None),
        (["wait=1.5"], None),
        (["wait"], None),
        (["wait=", "x"], None),
        (["handling=lenient"], None),
        (["wait=" + "9" * 5000], None),
    ],
)
def test_a_wait_is_a_preference_and_never_an_error(sent: list[str], seconds: int | None) -> None:
    """At most 30 seconds; what cannot be read is no preference."""
    assert wait_seconds(sent) == seconds
