"""How findings are shown: a line an invariant with examples of what is wrong, or as JSON."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from verify.invariants import EXAMPLES_MAX, INVARIANTS, CheckResult, Violation

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

_EXAMPLES_SHOWN: Final = 5


@dataclass(frozen=True, slots=True)
class _Line:
    """All findings about one invariant."""

    invariant: str
    findings: tuple[CheckResult, ...]

    @property
    def violations(self) -> tuple[Violation, ...]:
        return tuple(each for finding in self.findings for each in finding.violations)

    @property
    def unchecked(self) -> tuple[CheckResult, ...]:
        return tuple(each for each in self.findings if each.unchecked)

    @property
    def sources(self) -> str:
        return ", ".join(dict.fromkeys(each.source for each in self.findings))

    @property
    def verdict(self) -> str:
        if self.violations:
            return "violated"
        return "holds" if all(each.holds for each in self.findings) else "unchecked"


def exit_code(findings: Iterable[CheckResult]) -> int:
    """0: all hold; 1: something is violated; 2: nothing is, but something could not be told."""
    verdicts = {line.verdict for line in _lines(findings)}
    return 1 if "violated" in verdicts else 2 if "unchecked" in verdicts else 0


def as_json(findings: Iterable[CheckResult], taken_at: datetime) -> str:
    """One object; violations are counted whole and shown up to a limit."""
    found = [*findings]
    return json.dumps(
        {
            "taken_at": taken_at.isoformat(),
            "holds": exit_code(found) == 0,
            "invariants": [_object(line) for line in _lines(found)],
        }
    )


def _object(line: _Line) -> dict[str, object]:
    return {
        "invariant": line.invariant,
        "claim": INVARIANTS[line.invariant],
        "verdict": line.verdict,
        "checked": {each.source: each.checked for each in line.findings},
        "unchecked": {each.source: each.unchecked for each in line.unchecked},
        "violations": [
            {"source": finding.source, "subject": each.subject, "problem": each.problem}
            for finding in line.findings
            for each in finding.violations
        ],
    }


def as_tables(findings: Iterable[CheckResult]) -> RenderableType:
    """For a terminal."""
    lines = _lines(findings)
    table = Table(box=None, pad_edge=False)
    table.add_column("")
    table.add_column("what must hold", overflow="fold")
    table.add_column("checked against", overflow="fold")
    table.add_column("looked at", justify="right")
    table.add_column("")
    for line in lines:
        looked_at = max(each.checked for each in line.findings)
        table.add_row(
            line.invariant, INVARIANTS[line.invariant], line.sources, f"{looked_at:,}", _word(line)
        )
    return Group(table, *(_details(line) for line in lines if line.violations or line.unchecked))


def _word(line: _Line) -> Text:
    count = len(line.violations)
    if count:
        at_least = "at least " if count >= EXAMPLES_MAX else ""
        return Text(f"violated {at_least}{count:,} times", style="bold red")
    return Text(line.verdict, style="green" if line.verdict == "holds" else "yellow")


def _details(line: _Line) -> Text:
    text = Text(f"\n{line.invariant}\n", style="bold")
    for each in line.violations[:_EXAMPLES_SHOWN]:
        text.append(f"  {each.subject} {each.problem}\n", style="red")
    hidden = len(line.violations) - _EXAMPLES_SHOWN
    if hidden > 0:
        text.append(f"  and {hidden:,} more (--json shows them)\n", style="red")
    for finding in line.unchecked:
        text.append(f"  {finding.source}: not checked, {finding.unchecked}\n", style="yellow")
    return text


def _lines(findings: Iterable[CheckResult]) -> Sequence[_Line]:
    found = [*findings]
    return [
        _Line(invariant, tuple(each for each in found if each.invariant == invariant))
        for invariant in INVARIANTS
        if any(each.invariant == invariant for each in found)
    ]
