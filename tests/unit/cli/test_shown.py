"""What others wrote is text on a terminal, whatever it was meant to be."""

import pytest

from cli.shown import plain, shown


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("Zahlung über 5 €, 支払い, دفع 🙂", "Zahlung über 5 €, 支払い, دفع 🙂"),
        ("\x1b[2J\x1b]0;title\x07", "\\x1b[2J\\x1b]0;title\\x07"),
        ("\x9b31m", "\\x9b31m"),
        ("a\r\nb\tc\0", "a\\r\\nb\\tc\\x00"),
        ("\u202e0001\u2066", "\\u202e0001\\u2066"),
        ("\udcff", "\\udcff"),
    ],
)
def test_a_terminal_is_told_nothing(text: str, seen: str) -> None:
    """Letters of all peoples stay, and so does what a command would have been, to be read."""
    assert plain(text) == seen


def test_what_is_kept_is_kept() -> None:
    """A message may have lines."""
    assert plain("{\n\t1\r}", keep="\n\t") == "{\n\t1\\r}"


def test_brackets_are_no_markup_of_a_table() -> None:
    """Nor is what was written out."""
    assert shown("[red]\x1b[0m") == "\\[red]\\x1b[0m"
