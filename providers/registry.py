"""The payment providers there are, a row each; a row is a folder and what it exports.

`docs/ADDING-A-PROVIDER.md` says what a folder has to export. Whoever composes a process takes
names, sections of the settings, gateways and webhooks from here; nobody else knows how many
providers there are.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from payments.payment import Provider
from payments.provider_rules import ProviderRules
from process.sections import ProviderSection
from providers import paypal, stripe
from providers.gateway import Gateway
from providers.notifications import WebhookSource

if TYPE_CHECKING:
    from opentelemetry.trace import Tracer

    from providers.protected import Limits, Protected
    from telemetry.metrics import Metrics

ConfigT = TypeVar("ConfigT", bound=ProviderSection)


@dataclass(frozen=True, slots=True)
class Registration(Generic[ConfigT]):
    """A provider: its name, its settings, what is made of them, and what it takes.

    A gateway is made from the settings and the number of connections it may have, in a running
    event loop; webhooks are received only where the settings tell them from others', and at all
    only from a provider that sends any.
    """

    name: Provider
    config: type[ConfigT]
    gateway: Callable[[ConfigT, int], Gateway]
    rules: ProviderRules
    notifications: Callable[[ConfigT, int], WebhookSource] | None = None
    event_types: tuple[str, ...] = ()
    # How it names what it charged, where not any name will do for a capture or a refund.
    reference: str = ""

    def __post_init__(self) -> None:
        # It is a folder's name, a part of an address, and how a stage tells lanes apart.
        if not re.fullmatch("[a-z]{1,32}", self.name):
            raise ValueError(f"{self.name!r} is no name of 1 to 32 small letters")


# Any: the settings of each are its own; a row ties them to what is made of them.
PROVIDERS: Final[tuple[Registration[Any], ...]] = (
    Registration(
        stripe.NAME,
        stripe.Config,
        stripe.Gateway,
        stripe.RULES,
        stripe.Notifications,
        stripe.EVENT_TYPES,
        stripe.REFERENCE,
    ),
    Registration(
        paypal.NAME,
        paypal.Config,
        paypal.Gateway,
        paypal.RULES,
        paypal.Notifications,
        paypal.EVENT_TYPES,
        paypal.REFERENCE,
    ),
)
NAMES: Final = tuple(each.name for each in PROVIDERS)
REFERENCES: Final[Mapping[str, str]] = {
    each.name: each.reference for each in PROVIDERS if each.reference
}
RULES: Final[Mapping[str, ProviderRules]] = {each.name: each.rules for each in PROVIDERS}
SECTIONS: Final[Mapping[str, Callable[[], ProviderSection]]] = {
    each.name: each.config for each in PROVIDERS
}


@asynccontextmanager
async def gateways(
    configs: Mapping[str, ProviderSection], limits: Limits, metrics: Metrics, tracer: Tracer
) -> AsyncIterator[Mapping[str, Protected]]:
    """Every provider's gateway by its name, with open connections while the context lasts."""
    # What protects them costs 8 MB (aiobreaker brings Redis's client): for those who ask providers.
    from providers.protected import Protected  # noqa: PLC0415

    async with AsyncExitStack() as stack:
        opened: dict[str, Protected] = {}
        for each in PROVIDERS:
            gateway = each.gateway(configs[each.name], limits.concurrent_calls_max)
            stack.push_async_callback(gateway.aclose)
            opened[each.name] = Protected(gateway, limits, metrics, tracer)
        yield opened


@asynccontextmanager
async def notification_sources(
    configs: Mapping[str, ProviderSection], connections: int
) -> AsyncIterator[Sequence[WebhookSource]]:
    """The webhooks of every provider whose settings tell them from others', while it lasts.

    One that must be asked whether it sent them is asked over so many connections at the most.
    """
    async with AsyncExitStack() as stack:
        sources: list[WebhookSource] = []
        for each in PROVIDERS:
            if each.notifications and configs[each.name].webhook_key:
                sources.append(each.notifications(configs[each.name], connections))
                stack.push_async_callback(sources[-1].aclose)
        yield sources
