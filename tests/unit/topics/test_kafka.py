"""What is asked of a cluster that is not ready to answer."""

from __future__ import annotations

import pytest

from process.addresses import KafkaAddress
from topics.kafka import AWAY, client, coordinator, refuse_forbidden_topics


async def test_a_cluster_that_names_no_broker_is_away() -> None:
    """As it begins, or when its only broker was late: it is waited for like any that is away."""
    asking = client(KafkaAddress("127.0.0.1:1"), "tests")
    try:
        with pytest.raises(AWAY):
            await coordinator(asking, "a group")
        with pytest.raises(AWAY):
            await refuse_forbidden_topics(asking, ["a topic"])
    finally:
        await asking.close()
