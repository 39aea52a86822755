"""Alerts held against a page of metrics: which of them would be firing, were it so for long enough.

Of PromQL only what they are written in is understood: `max by (labels) (metric{...}) == number`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import yaml
from prometheus_client.parser import text_string_to_metric_families

from tests.support.project.tree import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

ALERTS: Final = ROOT / "deploy/prometheus/alerts.yml"
_FORM: Final = re.compile(r"max by \((\w+)\) \((\w+)\{(\w+)=\"(\w+)\"\}\) == (\d+)")


def firing(page: str, group: str) -> set[tuple[str, str]]:
    """Of the alerts of a group those whose condition holds, each with whom it names."""
    return {
        (str(rule["alert"]), named)
        for rule in _rules(group)
        for named in _matching(page, str(rule["expr"]))
    }


def _rules(group: str) -> list[Mapping[str, object]]:
    groups = yaml.safe_load(ALERTS.read_text())["groups"]
    (found,) = [each for each in groups if each["name"] == group]
    return list(found["rules"])


def _matching(page: str, expression: str) -> Iterator[str]:
    form = _FORM.fullmatch(expression)
    assert form, f"{expression} is not of the form that is understood here"
    by, metric, label, value, number = form.groups()
    worst: dict[str, float] = {}
    for family in text_string_to_metric_families(page):
        for sample in family.samples:
            if sample.name == metric and sample.labels.get(label) == value:
                named = sample.labels[by]
                worst[named] = max(worst.get(named, sample.value), sample.value)
    return (named for named, found in worst.items() if found == float(number))
