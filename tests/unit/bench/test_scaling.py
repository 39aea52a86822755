"""docs/SCALING.md is what the calculation says, and the calculation keeps its own limits."""

from __future__ import annotations

import re
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from bench.scaling import LOADS, Assumptions, main, plan, table

PAGE = (Path(__file__).parents[3] / "docs/SCALING.md").read_text()


def test_the_page_has_the_table_that_is_calculated() -> None:
    """`python -m bench.scaling` prints it after every change of a figure."""
    assert table(Assumptions()) in PAGE


def test_the_page_says_where_every_figure_comes_from() -> None:
    """One row each, with the value that is calculated with."""
    stated = dict(re.findall(r"^\| `(\w+)` \| ([\d.,]+) \|", PAGE, re.MULTILINE))
    values = {name: float(value.replace(",", "")) for name, value in stated.items()}
    assert values == asdict(Assumptions())


@pytest.mark.parametrize("load", LOADS)
def test_no_part_is_asked_for_more_than_it_bears(load: int) -> None:
    """A relay its rows, a primary its WAL and cores, a worker its partition."""
    given = Assumptions()
    found = plan(load, given)
    each = found.at_the_peak / found.pipelines
    assert each * given.messages <= given.relay_rows_s * given.busy
    assert each * given.wal_bytes <= given.primary_wal_mb_s * 1e6
    assert found.postgres_cores_each <= given.primary_cores
    assert found.charge_workers <= found.partitions_of_charges
    assert found.cores <= found.nodes * given.cores_of_node


def test_what_costs_half_needs_no_more() -> None:
    cheap = replace(Assumptions(), charge_ms=0.1, wal_bytes=1_000)
    before, after = plan(10_000, Assumptions()), plan(10_000, cheap)
    assert after.charge_workers < before.charge_workers
    assert after.wal_mb_a_second_each < before.wal_mb_a_second_each


def test_figures_of_ones_own_are_taken() -> None:
    runner = CliRunner()
    other = runner.invoke(main, ["--set", "peak=10"])
    assert other.output == table(replace(Assumptions(), peak=10.0))
    assert runner.invoke(main, ["--set", "luck=1"]).exit_code == 2
