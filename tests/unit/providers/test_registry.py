"""Every row of the registry is one provider, whichever way one comes to it."""

from __future__ import annotations

from importlib.util import find_spec
from random import Random
from typing import TYPE_CHECKING

import pytest

from payments.payment import Provider
from payments.provider_rules import ProviderRules
from process.sections import ProviderSection
from providers.registry import NAMES, PROVIDERS, Registration
from simulator.identifiers import Identifiers
from simulator.vendors import vendors_by_name
from tests.support.providers.configs import configured
from tests.support.simulator.spills import spill

if TYPE_CHECKING:
    from providers.gateway import Gateway
    from providers.notifications import WebhookSource


def test_a_name_stands_once() -> None:
    assert len(set(NAMES)) == len(NAMES)


@pytest.mark.parametrize("row", PROVIDERS, ids=NAMES)
async def test_folders_gateway_webhooks_and_vendor_have_the_rows_name(
    row: Registration[ProviderSection],
) -> None:
    """A payment's provider finds all that is its own by one name."""
    config = configured(row.config, "http://127.0.0.1:1")
    made: list[Gateway | WebhookSource] = [row.gateway(config, 1)]
    if row.notifications:
        made.append(row.notifications(config, 1))
    for each in made:
        await each.aclose()
    ids = Identifiers(Random(1), lambda: 0.0)
    (vendor,) = vendors_by_name([row.name], ids, spill()).values()
    assert {each.name for each in (*made, vendor)} == {row.name}
    assert find_spec(f"providers.{row.name}") is not None


@pytest.mark.parametrize("name", ["", "Acme", "acme2", "a-b", "a/b", "a" * 33])
def test_a_name_is_small_letters(name: str) -> None:
    """It is a folder, a part of an address, and in a message what a stage looks for."""

    def gateway(_config: ProviderSection, _connections: int) -> Gateway:
        raise AssertionError(name)

    with pytest.raises(ValueError, match="is no name"):
        Registration(Provider(name), ProviderSection, gateway, ProviderRules(title=name))
