"""What operators look at reads metrics that exist, with labels they have, in valid expressions."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import pytest
import yaml
from prometheus_client import CollectorRegistry

from lag.exporter import SOURCES
from local.processes import PROCESSES
from telemetry.metrics import Metrics
from tests.support.project.compose import commands_of
from tests.support.project.tree import ROOT

DASHBOARDS: Final = sorted((ROOT / "deploy/grafana/dashboards").glob("*.json"))
ALERTS: Final = ROOT / "deploy/prometheus/alerts.yml"
RUNBOOK: Final = ROOT / "docs/OPERATIONS.md"
WORD: Final = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
FUNCTIONS: Final = {
    "absent", "by", "count", "histogram_quantile", "increase", "max", "min", "rate", "sum",
    "vector",
}  # fmt: skip
OPERATORS: Final = {"and", "or", "unless", "on"}
# What Prometheus adds to every series it scrapes.
OF_THE_SCRAPE: Final = {"job", "instance", "process", "le"}
VENDOR_METRICS: Final = {"up"}


@dataclass(frozen=True, slots=True)
class Expression:
    """A PromQL expression and where it stands."""

    where: str
    text: str
    legend: str


def _panels() -> Iterator[tuple[str, dict[str, object]]]:
    for path in DASHBOARDS:
        board = json.loads(path.read_text())
        for panel in board["panels"]:
            yield f"{board['title']}: {panel['title']}", panel


def _expressions() -> Iterator[Expression]:
    for where, panel in _panels():
        targets = panel.get("targets", [])
        assert isinstance(targets, list)
        for target in targets:
            yield Expression(where, target["expr"], target["legendFormat"])
    for rule in _alerts():
        summary = rule["annotations"]
        assert isinstance(summary, dict)
        labels = "".join(re.findall(r"{{ \$labels\.(\w+) }}", summary["summary"]))
        yield Expression(f"alert {rule['alert']}", str(rule["expr"]), labels)


def _alerts() -> list[dict[str, object]]:
    groups = yaml.safe_load(ALERTS.read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


EXPRESSIONS: Final = list(_expressions())


@pytest.fixture(scope="module")
def declared() -> dict[str, set[str]]:
    """The labels of every sample name the project exposes."""
    registry = CollectorRegistry()
    Metrics(registry)
    collectors = registry._names_to_collectors  # noqa: SLF001 # no public list names the samples of an unused metric
    return {name: set(getattr(c, "_labelnames", ())) for name, c in collectors.items()}


def _selectors(expression: str) -> list[tuple[str, list[str]]]:
    """Each metric with the labels it is filtered by."""
    found = re.findall(
        rf"({WORD})(?:{{([^}}]*)}})?", re.sub(r"by \([^)]*\)|\[[^]]*\]", "", expression)
    )
    return [
        (name, re.findall(rf"({WORD})\s*=", matchers))
        for name, matchers in found
        if name not in FUNCTIONS | OPERATORS and f'"{name}"' not in expression
    ]


def _grouping(expression: str) -> set[str]:
    return {
        label.strip()
        for labels in re.findall(r"by \(([^)]*)\)", expression)
        for label in labels.split(",")
    }


@pytest.mark.parametrize("expression", EXPRESSIONS, ids=lambda e: e.where)
def test_every_metric_is_declared_and_has_the_labels_used(
    expression: Expression, declared: dict[str, set[str]]
) -> None:
    """A renamed metric or label would leave an empty panel or a silent alert."""
    selectors = _selectors(expression.text)
    assert selectors
    known = set(OF_THE_SCRAPE)
    for name, matchers in selectors:
        assert name in declared.keys() | VENDOR_METRICS
        known |= declared.get(name, set())
        assert set(matchers) <= declared.get(name, set()) | OF_THE_SCRAPE
    assert _grouping(expression.text) <= known


@pytest.mark.parametrize("expression", EXPRESSIONS, ids=lambda e: e.where)
def test_every_expression_is_balanced_and_calls_known_functions(expression: Expression) -> None:
    """Brackets close in order, and what is called is a function of PromQL."""
    open_brackets: list[str] = []
    for character in re.sub(r'"[^"]*"', "", expression.text):
        if character in "([{":
            open_brackets.append(")]}"["([{".index(character)])
        elif character in ")]}":
            assert open_brackets
            assert open_brackets.pop() == character
    assert open_brackets == []
    called = re.findall(rf"({WORD})\s*\(", expression.text)
    assert set(called) <= FUNCTIONS | OPERATORS


@pytest.mark.parametrize("expression", EXPRESSIONS, ids=lambda e: e.where)
def test_legends_name_labels_that_survive(expression: Expression) -> None:
    """A label that the aggregation dropped would print nothing."""
    wanted = set(re.findall(r"{{(\w+)}}", expression.legend))
    assert wanted <= _grouping(expression.text)


@pytest.mark.parametrize("expression", EXPRESSIONS, ids=lambda e: e.where)
def test_lag_is_never_summed_over_instances(expression: Expression) -> None:
    """Whoever exports lag exports all of it: a sum would count it twice."""
    lag = re.compile(r"payments_(stage_lag|stage_consumed|slot_|redis_group|waiting_|stage_group)")
    for match in re.finditer(rf"({WORD})(?: by \([^)]*\))? \(({WORD})", expression.text):
        assert not (match[1] == "sum" and lag.match(match[2]))


def test_what_is_gone_is_missed() -> None:
    """No series is no zero: what is no longer there fires by `absent`, each process and source."""
    expressions = {str(rule["alert"]): str(rule["expr"]) for rule in _alerts()}
    missing, unknown = expressions["ProcessMissing"], expressions["LagUnknown"]
    processes = set(re.findall(r'absent\(up{[^}]*process="([^"]+)"}\)', missing))
    # Providers are simulated nowhere but here.
    assert processes == commands_of(PROCESSES).keys() - {"simulator"}
    sources = set(re.findall(r'absent\([a-z_]+{source="([^"]+)"}\)', unknown))
    assert sources == set(SOURCES)


def test_every_counter_is_read_as_a_rate() -> None:
    """A bare total is a line that only grows."""
    for expression in EXPRESSIONS:
        for total in re.findall(r"payments_\w+_total[^)]{0,60}", expression.text):
            assert "[" in total, expression.where


def test_each_board_has_its_own_name_and_panels_do_not_overlap() -> None:
    """Grafana stacks what overlaps, and drops a board whose uid is taken."""
    boards = [json.loads(path.read_text()) for path in DASHBOARDS]
    assert len({board["uid"] for board in boards}) == len(boards) == 2
    for board in boards:
        taken: set[tuple[int, int]] = set()
        for panel in board["panels"]:
            at = panel["gridPos"]
            cells = {
                (x, y)
                for x in range(at["x"], at["x"] + at["w"])
                for y in range(at["y"], at["y"] + at["h"])
            }
            assert not cells & taken, panel["title"]
            assert max(x for x, _ in cells) < 24
            taken |= cells


def test_the_overview_shows_what_the_operator_was_promised() -> None:
    """Traffic, errors, latency, payment errors, worker rate, accepted and ended, dead letters."""
    titles = {where.removeprefix("Payments Overview: ") for where, _ in _panels()}
    assert {
        "Request rate",
        "Error rate",
        "P95 latency",
        "Payment errors by type and error_type",
        "Processing rate",
        "Accepted and ended",
        "Dead letters parked",
    } <= titles


@pytest.mark.parametrize("rule", _alerts(), ids=lambda rule: str(rule["alert"]))
def test_every_alert_has_its_section_in_the_runbook(rule: dict[str, object]) -> None:
    """Whoever is woken finds what it means and how to mend it under the alert's own name."""
    headings = re.findall(r"^### (\w+)$", RUNBOOK.read_text(), re.MULTILINE)
    assert headings.count(str(rule["alert"])) == 1


def test_the_runbook_explains_no_alert_that_is_gone() -> None:
    """A section outlives its alert only by mistake."""
    text = RUNBOOK.read_text()
    headings = set(re.findall(r"^### (\w+)$", text, re.MULTILINE))
    assert headings == {str(rule["alert"]) for rule in _alerts()}
