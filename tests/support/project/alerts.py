"""What is asked of Prometheus: the alerts of deploy/prometheus, the panels of deploy/grafana."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import yaml

from tests.support.project.tree import ROOT
from tests.support.promql.engine import evaluate
from tests.support.promql.scrapes import Scrapes, samples_of

if TYPE_CHECKING:
    from collections.abc import Iterator

ALERTS: Final = ROOT / "deploy/prometheus/alerts.yml"
DASHBOARDS: Final = sorted((ROOT / "deploy/grafana/dashboards").glob("*.json"))
# What Grafana puts in its place is four times the interval of scrapes at the least.
_RATE_INTERVAL: Final = "1m"


@dataclass(frozen=True, slots=True)
class Asked:
    """An expression, and the alert or the panel that asks it."""

    name: str
    expression: str
    group: str


def alerts() -> list[Asked]:
    groups = yaml.safe_load(ALERTS.read_text())["groups"]
    return [
        Asked(rule["alert"], rule["expr"], group["name"])
        for group in groups
        for rule in group["rules"]
    ]


def panels() -> Iterator[Asked]:
    """Each line of each panel."""
    for path in DASHBOARDS:
        board = json.loads(path.read_text())
        for panel in board["panels"]:
            for target in panel.get("targets", []):
                expression = target["expr"].replace("$__rate_interval", _RATE_INTERVAL)
                name = f"{board['title']}: {panel['title']}: {target['legendFormat']}"
                yield Asked(name, expression, board["title"])


def firing(page: str, group: str) -> set[tuple[str, str]]:
    """Of the alerts of a group those whose condition holds, each with what it names."""
    scrapes = Scrapes()
    scrapes.add(0.0, samples_of(page))
    return {
        (asked.name, named)
        for asked in alerts()
        if asked.group == group
        for found in evaluate(asked.expression, scrapes)
        for _, named in found
    }
