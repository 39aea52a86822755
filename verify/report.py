"""How results are shown: a line an invariant with examples of what is wrong, or as JSON."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from verify.invariants import EXAMPLES_MAX, INVARIANTS, CheckResult, Invariant, Violation

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

_EXAMPLES_SHOWN: Final = 5


@dataclass(frozen=True, slots=True)
class _Line:
    """All results about one invariant."""

    invariant: Invariant
    results: tuple[CheckResult, ...]

    @property
    def violations(self) -> tuple[Violation, ...]:
        return tuple(each for result in self.results for each in result.violations)

    @property
    def unchecked(self) -> tuple[CheckResult, ...]:
        return tuple(each for each in self.results if each.unchecked)

    @property
    def sources(self) -> str:
        return ", ".join(dict.fromkeys(each.source for each in self.results))

    @property
    def verdict(self) -> str:
        if self.violations:
            return "violated"
        return "holds" if all(each.holds for each in self.results) else "unchecked"


def exit_code(results: Iterable[CheckResult]) -> int:
    """0: all hold; 1: something is violated; 2: nothing is, but something could not be told."""
    verdicts = {line.verdict for line in _lines(results)}
    return 1 if "violated" in verdicts else 2 if "unchecked" in verdicts else 0


def as_json(results: Iterable[CheckResult], taken_at: datetime) -> str:
    """One object; violations are counted whole and shown up to a limit."""
    found = [*results]
    return json.dumps(
        {
            "taken_at": taken_at.isoformat(),
            "holds": exit_code(found) == 0,
            "invariants": [_object(line) for line in _lines(found)],
        }
    )


def _object(line: _Line) -> dict[str, object]:
    return {
        "invariant": line.invariant.id,
        "claim": line.invariant.claim,
        "verdict": line.verdict,
        "checked": {each.source: each.checked for each in line.results},
        "unchecked": {each.source: each.unchecked for each in line.unchecked},
        "violations": [
            {"source": result.source, "subject": each.subject, "problem": each.problem}
            for result in line.results
            for each in result.violations
        ],
    }


def as_tables(results: Iterable[CheckResult]) -> RenderableType:
    """For a terminal."""
    lines = _lines(results)
    table = Table(box=None, pad_edge=False)
    table.add_column("")
    table.add_column("what must hold", overflow="fold")
    table.add_column("checked against", overflow="fold")
    table.add_column("looked at", justify="right")
    table.add_column("")
    for line in lines:
        looked_at = max(each.checked for each in line.results)
        name, claim = line.invariant.id, line.invariant.claim
        table.add_row(name, claim, line.sources, f"{looked_at:,}", _word(line))
    return Group(table, *(_details(line) for line in lines if line.violations or line.unchecked))


def _word(line: _Line) -> Text:
    count = len(line.violations)
    if count:
        at_least = "at least " if count >= EXAMPLES_MAX else ""
        return Text(f"violated {at_least}{count:,} times", style="bold red")
    return Text(line.verdict, style="green" if line.verdict == "holds" else "yellow")


def _details(line: _Line) -> Text:
    text = Text(f"\n{line.invariant.id}\n", style="bold")
    for each in line.violations[:_EXAMPLES_SHOWN]:
        text.append(f"  {each.subject} {each.problem}\n", style="red")
    hidden = len(line.violations) - _EXAMPLES_SHOWN
    if hidden > 0:
        text.append(f"  and {hidden:,} more (--json shows them)\n", style="red")
    for result in line.unchecked:
        text.append(f"  {result.source}: not checked, {result.unchecked}\n", style="yellow")
    return text


def _lines(results: Iterable[CheckResult]) -> Sequence[_Line]:
    found = [*results]
    return [
        _Line(invariant, tuple(each for each in found if each.invariant == invariant.id))
        for invariant in INVARIANTS
        if any(each.invariant == invariant.id for each in found)
    ]
