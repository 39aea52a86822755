"""The evaluator of alerts and panels says what Prometheus says, and refuses what is new to it."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from typing import TYPE_CHECKING, Final

import pytest

from tests.support.project.alerts import alerts, panels
from tests.support.promql.engine import evaluate
from tests.support.promql.expressions import Unsupported, parsed
from tests.support.promql.scrapes import NAME, Scrapes, Series, series

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_STEP_S: Final = 5
_GONE: Final = "_"
# A series, and its values at the scrapes; `_` where it was not there.
SERIES: Final = {
    'up{process="api"}': "1 1 1 1",
    'up{process="lag"}': "1 1 0 0",
    'state{group="a",state="ok"}': "1 1 0 0",
    'state{group="a",state="stopped"}': "0 0 1 1",
    'state{group="b",state="ok"}': "1 1 1 1",
    'was{group="a"}': "1 1 _ _",
    'requests_total{status="2xx",route="a"}': "10 20 30 40",
    'requests_total{status="5xx",route="a"}': "0 0 4 8",
    'requests_total{status="5xx",route="b"}': "_ _ 1 1",
    'retries_total{stage="x"}': "100 120 5 25",
    'seconds_bucket{route="a",le="0.1"}': "0 0 0 10",
    'seconds_bucket{route="a",le="0.5"}': "0 0 10 30",
    'seconds_bucket{route="a",le="1.0"}': "0 0 20 40",
    'seconds_bucket{route="a",le="+Inf"}': "0 0 20 42",
    'seconds_bucket{route="b",le="0.1"}': "7 7 7 7",
    'seconds_bucket{route="b",le="+Inf"}': "7 7 7 7",
    'behind{slot="k"}': "10 20 70 80",
    'behind{slot="r"}': "1 2 3 4",
}
# An expression, and what it comes to: a vector's labels and their values.
TABLE: Final[Mapping[str, Mapping[str, float]]] = {
    "up == 0": {'up{process="lag"}': 0},
    'up{process="api"} == 0': {},
    'absent(up{process="none"})': {'{process="none"}': 1},
    'absent(up{process="api"})': {},
    'absent(was{group="a"}) or absent(up{process="api"})': {'{group="a"}': 1},
    'max by (group) (state{state="stopped"}) == 1': {'{group="a"}': 1},
    'count(max by (group) (state{state!="ok"}) == 1) or vector(0)': {"{}": 1},
    "count(behind > 1000) or vector(0)": {"{}": 0},
    "max by (slot) (behind) > 30": {'{slot="k"}': 80},
    "max(behind) > 6 * 10": {"{}": 80},
    "min by (slot) (behind) < 30": {'{slot="r"}': 4},
    'state{state="ok"} * 2 or state{state="stopped"} * 3': {
        '{group="a",state="ok"}': 0,
        '{group="b",state="ok"}': 2,
        '{group="a",state="stopped"}': 3,
    },
    'sum(rate(requests_total{status="5xx"}[5m])) / sum(rate(requests_total[5m])) > 0.01': {
        "{}": 0.16666666666666669,
    },
    'sum(rate(requests_total[5m])) - sum(rate(requests_total{status="5xx"}[5m])) / 2': {
        "{}": 0.14666666666666667,
    },
    'sum(state{state="ok"}) - (sum(state{state="none"}) or vector(0))': {"{}": 1},
    'increase(requests_total{status="5xx"}[5m])': {
        '{route="a",status="5xx"}': 8,
        '{route="b",status="5xx"}': 0,
    },
    'rate(retries_total{stage="x"}[1m])': {'{stage="x"}': 0.875},
    'histogram_quantile(0.5, sum by (le, route) (rate(seconds_bucket{route="a"}[5m])))': {
        '{route="a"}': 0.32000000000000006,
    },
    "histogram_quantile(0.99, sum by (le, route) (rate(seconds_bucket[5m]))) > 0.5": {
        '{route="a"}': 1,
    },
    'max by (group) (state{state=~"ok|stopped"})': {'{group="a"}': 1, '{group="b"}': 1},
}
PROMTOOL: Final = shutil.which("promtool")


def _series(text: str) -> Series:
    name, _, labels = text.rstrip("}").partition("{")
    found = dict(re.findall(r'(\w+)="([^"]*)"', labels))
    return series(name, **found) if name else frozenset(found.items())


@pytest.fixture
def scrapes() -> Scrapes:
    taken = Scrapes()
    rows = [(_series(one), values.split()) for one, values in SERIES.items()]
    for at in range(4):
        shown = {one: float(values[at]) for one, values in rows if values[at] != _GONE}
        taken.add(at * _STEP_S, shown)
    return taken


@pytest.mark.parametrize("text", TABLE)
def test_an_expression_is_what_prometheus_says_it_is(text: str, scrapes: Scrapes) -> None:
    """Filters, gaps, restarts of counters, buckets, what is absent."""
    expected = {_series(one): value for one, value in TABLE[text].items()}
    assert evaluate(text, scrapes) == pytest.approx(expected)


@pytest.mark.skipif(PROMTOOL is None, reason="no promtool on the PATH")
@pytest.mark.parametrize("text", TABLE)
def test_prometheus_own_engine_says_the_same(text: str, tmp_path: Path) -> None:
    """The table is right: whoever has promtool can ask it."""
    samples = [{"labels": one, "value": value} for one, value in TABLE[text].items()]
    gone = {one: values.replace(_GONE, "stale") for one, values in SERIES.items()}
    asked = {
        "evaluation_interval": f"{_STEP_S}s",
        "tests": [
            {
                "interval": f"{_STEP_S}s",
                "input_series": [{"series": one, "values": values} for one, values in gone.items()],
                "promql_expr_test": [
                    {"expr": text, "eval_time": f"{3 * _STEP_S}s", "exp_samples": samples}
                ],
            }
        ],
    }
    file = tmp_path / "asked.yml"
    file.write_text(json.dumps(asked))
    said = subprocess.run(  # noqa: S603 - Prometheus' own tool
        (str(PROMTOOL), "test", "rules", str(file)), capture_output=True, text=True, check=False
    )
    assert said.returncode == 0, said.stdout + said.stderr


@pytest.mark.parametrize(
    "text",
    [
        "avg(up)",
        "rate(up)",
        "deriv(up[5m])",
        "up[5m]",
        "up offset 5m",
        "up == bool 0",
        "sum by (a) (up) without (b)",
        "sum(up) by (a)",
        "rate(up[5m:1m])",
        "up and down",
        "up == up",
        "1 + 1",
        "6 * 7",
        "sum(up",
        "up{process='api'}",
        "up > on(a) 3",
    ],
)
def test_what_is_not_known_is_refused(text: str, scrapes: Scrapes) -> None:
    """A guess would be an alert that never fires, proven."""
    with pytest.raises(Unsupported):
        evaluate(text, scrapes)


def test_every_expression_of_ours_is_understood() -> None:
    """Whoever writes an alert in other words teaches the evaluator first."""
    for asked in (*alerts(), *panels()):
        parsed(asked.expression)


def test_a_series_keeps_its_name_apart() -> None:
    """It is a label like the others, and no metric has one of that name."""
    assert dict(series("up", process="api")) == {NAME: "up", "process": "api"}
