"""All faults, by name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tests.support.alerts import brokers, processes, relays, stages

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.support.alerts.fault import Fault

FAULTS: Final[Mapping[str, Fault]] = {
    **processes.FAULTS,
    **stages.FAULTS,
    **brokers.FAULTS,
    **relays.FAULTS,
}
