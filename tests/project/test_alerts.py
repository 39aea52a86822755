"""No alert without a fault that is known to make it true, and none for what is as it should be."""

from __future__ import annotations

from typing import Final

import pytest

from tests.support.alerts.faults import FAULTS
from tests.support.project.alerts import alerts
from tests.support.promql.engine import evaluate
from tests.support.promql.scrapes import Scrapes, series

_REQUESTS: Final = "payments_http_requests_total"
_REJECTED: Final = "payments_http_requests_rejected_total"


def test_every_alert_is_proven() -> None:
    """Whoever adds one breaks what it names; whoever removes one removes its fault."""
    proven = {alert for fault in FAULTS.values() for alert in fault.alerts}
    assert proven == {each.name for each in alerts()}


@pytest.mark.parametrize(
    ("failed", "refused", "is_told"),
    [(0, 0, False), (0, 300, False), (20, 300, True), (20, 0, True), (20, None, True)],
)
def test_who_is_refused_for_overload_is_no_error(
    failed: int, refused: int | None, *, is_told: bool
) -> None:
    """It is told when to come again, and RequestsRejected says so; an error beside it is one."""
    (errors,) = (each for each in alerts() if each.name == "HttpErrors")
    scrapes = Scrapes()
    for at in range(5):
        shown = {
            series(_REQUESTS, route="/a", method="GET", status="2xx"): at * 700.0,
            series(_REQUESTS, route="/a", method="GET", status="5xx"): at * float(failed),
            series(_REQUESTS, route="/b", method="POST", status="5xx"): at * float(refused or 0),
        }
        if refused is not None:
            shown[series(_REJECTED, reason="overload")] = at * float(refused)
            shown[series(_REJECTED, reason="rate_limit")] = at * 500.0
        scrapes.add(at * 60.0, shown)
    assert bool(evaluate(errors.expression, scrapes)) is is_told
