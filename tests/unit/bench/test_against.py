"""Two revisions are compared turn by turn, and said with what is uncertain about it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from bench.against import Comparison, Plan, Run, Turn, report, written

if TYPE_CHECKING:
    from pathlib import Path


def turn(revision: str, cpu_us: float) -> Turn:
    return Turn(
        revision=revision,
        load="at 200/s",
        accepted=1000,
        refused=0,
        accepted_per_second=200.0,
        ended_per_second=190.0,
        answer_p50_ms=8.0,
        answer_p99_ms=30.0,
        completed_p50_ms=60.0,
        completed_p99_ms=100.0,
        cpu_us={"api": cpu_us, "postgres": 100.0},
        generator_share=0.1,
    )


FOUND = Comparison(
    against="v1",
    plan=Plan(),
    turns=[turn("here", 100.0), turn("v1", 200.0), turn("here", 150.0), turn("v1", 200.0)],
    runs=[Run("here", 500.0, 5.0), Run("v1", 1000.0, 6.0)],
    pgbench_per_second=[3000.0, 2900.0],
)


def test_a_ratio_is_said_with_its_spread() -> None:
    """Of turns that followed each other: 100 of 200, and 150 of 200."""
    (api,) = [line.split() for line in report(FOUND).splitlines() if line.startswith("  api")]
    assert api == ["api", "125.0", "200.0", "0.62", "(0.50", "to", "0.75)"]
    assert "memory of ours (PSS), MiB        500.0    1,000.0    0.50" in report(FOUND)


def test_it_is_written_as_json(tmp_path: Path) -> None:
    """Every turn, so that whoever doubts a median can make another."""
    path = written(FOUND, tmp_path / "results")
    kept = json.loads(path.read_text())
    assert [each["cpu_us"]["api"] for each in kept["turns"]] == [100.0, 200.0, 150.0, 200.0]
    assert kept["pgbench_per_second"] == [3000.0, 2900.0]
