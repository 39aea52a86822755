"""What others wrote, as a terminal may have it: it says what it says, and commands nothing.

A message's bytes, a receiver's answer, a reason given at the console: a terminal obeys what of them
it takes for its own (ECMA-48), and a reader believes what is turned round by marks of direction.
"""

from __future__ import annotations

from rich.markup import escape


def plain(text: str, *, keep: str = "") -> str:
    """The text with whatever is not to be seen written out, but for the characters of `keep`."""
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() or each in keep else _written(each) for each in text)


def shown(text: str) -> str:
    """The same for a cell of a table, where brackets are no markup."""
    return escape(plain(text))


def _written(character: str) -> str:
    return character.encode("unicode_escape").decode()
