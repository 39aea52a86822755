"""What a subscription says beside its messages: what it passed over, and what is no longer there.

Neither ends it: one strange record, or an outage longer than the retention, must not keep a
consumer from all that comes after.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass

_log = logging.getLogger("topics.subscribe")


@dataclass(frozen=True, slots=True)
class Foreign:
    """A record that is none of ours, passed over. `place` is `partition/offset`, or its id."""

    topic: str
    place: str
    reason: str


@dataclass(frozen=True, slots=True)
class Gap:
    """Messages that were gone before they were given, and from where on there are some again.

    `lost` counts offsets on Kafka, where markers of transactions have some too, and entries on
    Redis; None where nobody knows.
    """

    topic: str
    place: str
    lost: int | None


Report = Callable[[Foreign | Gap], None]


def log_report(report: Foreign | Gap) -> None:
    """A warning of the logger `topics.subscribe`, unless the subscriber takes reports itself."""
    match report:
        case Foreign(topic, place, reason):
            _log.warning("passed over %s of %s: %s", place, topic, reason)
        case Gap(topic, place, lost):
            many = "an unknown number of" if lost is None else lost
            _log.warning("%s messages before %s of %s are gone", many, place, topic)
