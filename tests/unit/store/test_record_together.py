"""What is recorded together is what is recorded apart."""

from __future__ import annotations

import re

from store.queries import queries, query
from store.write.record import TOGETHER


def test_a_statement_is_its_parts_word_for_word() -> None:
    """A column added to one part, and forgotten where the parts are together, is found here."""
    for together, names in TOGETHER.items():
        text = _words(_unnumbered(query(together)))
        for name in names:
            part = _written(_words(_unnumbered(query(name)).removesuffix(";")))
            assert text.count(part) == 1, (together, name)


def test_its_parameters_are_those_of_its_parts_in_order() -> None:
    """They are passed by position, one part after the other."""
    for together, names in TOGETHER.items():
        asked = iter(queries()[together].parameters)
        for name in names:
            for parameter in queries()[name].parameters:
                assert next(asked).partition("_")[2] == parameter, (together, name)
        assert next(asked, None) is None


def _written(part: str) -> str:
    """What it writes, of a statement that says where it put it."""
    inner = re.fullmatch(r"WITH said AS \((.*)\) SELECT max\(position\) .*", part)
    return inner[1] if inner else part


def _unnumbered(text: str) -> str:
    uncommented = re.sub(r"^--.*$", "", text, flags=re.MULTILINE)
    return re.sub(r"\$\d+", "$", uncommented)


def _words(text: str) -> str:
    """Without the blanks that lines are folded with."""
    return re.sub(r"\s+", " ", re.sub(r"(?<=\()\s+|\s+(?=\))", "", text)).strip()
