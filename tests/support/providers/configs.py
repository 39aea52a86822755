"""Providers' settings for tests: as the variables say that lead to a simulator's address."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from process.sections import ProviderSection
from providers.registry import PROVIDERS

if TYPE_CHECKING:
    from collections.abc import Mapping

ConfigT = TypeVar("ConfigT", bound=ProviderSection)


def configured(
    config: type[ConfigT],
    url: str,
    timeout_s: float = 10.0,
    variables: Mapping[str, str] | None = None,
) -> ConfigT:
    """One provider's; `variables` differ from what the simulator would be given."""
    timeout = str(config.model_fields["timeout_seconds"].validation_alias)
    simulated = config.leading_to_simulator(url, {})
    return config.model_validate({**simulated, timeout: timeout_s, **(variables or {})})


def all_configured(url: str, timeout_s: float = 10.0) -> dict[str, ProviderSection]:
    """Every provider's, by name."""
    return {each.name: configured(each.config, url, timeout_s) for each in PROVIDERS}
