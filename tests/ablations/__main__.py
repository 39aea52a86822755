"""`python -m tests.ablations [NAME ...]`: removes safeguards one at a time and sees tests go red.

Exits 1 if a row does not behave. Names are those of the table, or parts of them; without any,
every row is tried.
"""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING, Final

from tests.ablations.copies import ForeignCode, Tree
from tests.ablations.page import PAGE, written
from tests.ablations.table import EditError, Safeguard, expected_red, safeguards
from tests.ablations.trial import Trial, tried
from tests.support.project.tree import ROOT, tracked_files

if TYPE_CHECKING:
    from collections.abc import Sequence

_PRINTED_LINES: Final = 40


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.ablations", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="a row's name, or a part of it")
    parser.add_argument("--list", action="store_true", help="print the names and do nothing")
    parser.add_argument("--write", action="store_true", help=f"write {PAGE} and try nothing")
    parsed = parser.parse_args(arguments)
    rows = safeguards()
    chosen = [row for row in rows if not parsed.names or _is_named(row, parsed.names)]
    if not chosen:
        parser.error(f"no safeguard is named {' or '.join(parsed.names)}")
    if parsed.write:
        (ROOT / PAGE).write_text(written(rows), "utf-8")
        return 0
    if parsed.list:
        sys.stdout.writelines(f"{row.name:<32} {row.guard}\n" for row in chosen)
        return 0
    trials = [_tried(row, rows) for row in chosen]
    wrong = [each.safeguard.name for each in trials if each.complaints]
    sys.stdout.write(f"{len(trials)} tried, {len(wrong)} wrong{': ' if wrong else ''}")
    sys.stdout.write(f"{', '.join(wrong)}\n")
    return 1 if wrong else 0


def _is_named(row: Safeguard, names: Sequence[str]) -> bool:
    return any(name in row.name for name in names)


def _tried(row: Safeguard, rows: Sequence[Safeguard]) -> Trial:
    try:
        trial = tried(row, expected_red(row, rows), Tree(ROOT, tracked_files()))
    except (EditError, ForeignCode) as error:
        trial = Trial(row, 0.0, [str(error)], "")
    _say(trial)
    return trial


def _say(trial: Trial) -> None:
    row = trial.safeguard
    right = "green" if row.only_saves_work else "red"
    verdict = "WRONG" if trial.complaints else right
    sys.stdout.write(f"{verdict:<6}{row.name:<32}{trial.seconds:6.1f} s  {row.guard}\n")
    if trial.complaints:
        sys.stdout.writelines(f"      {complaint}\n" for complaint in trial.complaints)
        last = trial.printed.splitlines()[-_PRINTED_LINES:]
        sys.stdout.writelines(f"      | {line}\n" for line in last)
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
