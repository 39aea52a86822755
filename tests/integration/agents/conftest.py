"""The fixtures of this folder: one platform for all its tests."""

from tests.support.agents.calls import opened
from tests.support.agents.fixtures import (
    crew,
    idle_shop,
    platform,
    provider,
    shop,
    worker,
)

__all__ = ["crew", "idle_shop", "opened", "platform", "provider", "shop", "worker"]
