"""A name that somebody else chose is shown, and does nothing else."""

import pytest

from lag.foreign import shown


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("payments.charge", "payments.charge"),
        (b"webhooks", "webhooks"),
        ("caf\N{LATIN SMALL LETTER E WITH ACUTE}", "caf\N{LATIN SMALL LETTER E WITH ACUTE}"),
        (b"caf\xe9", r"caf\xe9"),
        (b"\x00\xff", r"\x00\xff"),
        ("a\nb\tc", r"a\nb\tc"),
        ("\x1b[31mred", r"\x1b[31mred"),
        ("\N{RIGHT-TO-LEFT OVERRIDE}cba", r"\u202ecba"),
        ("\ud800", r"\ud800"),
        ("", ""),
    ],
)
def test_what_cannot_be_shown_is_escaped(name: bytes | str, text: str) -> None:
    """Ours are as they were."""
    assert shown(name) == text


@pytest.mark.parametrize("name", ["x" * 10**6, b"\xff" * 10**6])
def test_a_long_name_is_cut(name: bytes | str) -> None:
    """And it can be seen that it was."""
    text = shown(name)
    assert len(text) == 120
    assert text.endswith("\N{HORIZONTAL ELLIPSIS}")
