"""Browsers at an ingress with keys, and at one without."""

from collections.abc import AsyncIterator

import pytest

from tests.support.api.ingress import Ingress
from tests.support.api.visitor import Visitor, visiting


@pytest.fixture
async def visitor(ingress: Ingress) -> AsyncIterator[Visitor]:
    """A browser where nobody signs in."""
    async with visiting(ingress) as browser:
        yield browser


@pytest.fixture
async def stranger(guarded: Ingress) -> AsyncIterator[Visitor]:
    """A browser at an ingress that asks for keys, not signed in."""
    async with visiting(guarded) as browser:
        yield browser
