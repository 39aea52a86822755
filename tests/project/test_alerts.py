"""No alert without a fault that is known to make it true."""

from __future__ import annotations

from tests.support.alerts.faults import FAULTS
from tests.support.project.alerts import alerts


def test_every_alert_is_proven() -> None:
    """Whoever adds one breaks what it names; whoever removes one removes its fault."""
    proven = {alert for fault in FAULTS.values() for alert in fault.alerts}
    assert proven == {each.name for each in alerts()}
