"""What is not known has no figure."""

from __future__ import annotations

import pytest
from prometheus_client import CollectorRegistry

from lag import GroupLag, GroupState, PartitionLag, gauges
from telemetry.metrics import Metrics

_KNOWN = PartitionLag(0, GroupState.OK, 7, 9, 2, 0.5, 1.0)
_UNKNOWN = PartitionLag(1, GroupState.UNKNOWN, None, None, None, None, 1.0)


@pytest.fixture
def metrics() -> Metrics:
    shown = Metrics(CollectorRegistry())
    group = GroupLag("g", "t", GroupState.UNKNOWN, 1, None, 0.5, 1.0, None, (_KNOWN, _UNKNOWN))
    gauges.show_groups(shown, [group])
    return shown


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(name, {"group": "g", "topic": "t", **labels})


def test_a_partition_nobody_knows_of_has_no_figure(metrics: Metrics) -> None:
    """A graph then ends, where a zero would be believed."""
    for name in ("messages", "seconds"):
        assert value(metrics, f"payments_stage_lag_{name}", partition="0") is not None
        assert value(metrics, f"payments_stage_lag_{name}", partition="1") is None
    assert value(metrics, "payments_stage_consumed_per_second", partition="1") is None


def test_that_something_is_not_known_is_said(metrics: Metrics) -> None:
    """Of the group, and of which partition."""
    assert value(metrics, "payments_stage_lag_known") == 0
    states = "payments_stage_partition_state"
    assert value(metrics, states, partition="0", state="ok") == 1
    assert value(metrics, states, partition="1", state="unknown") == 1
    assert value(metrics, states, partition="1", state="ok") is None


def test_what_ceased_to_be_is_forgotten(metrics: Metrics) -> None:
    """Between two measurements."""
    gauges.show_groups(metrics, [])
    assert value(metrics, "payments_stage_lag_known") is None
    assert value(metrics, "payments_stage_lag_messages", partition="0") is None
