"""The vendors that are simulated: a provider's `Vendor` is in the folder here with its name."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from importlib import import_module

from simulator.identifiers import Identifiers
from simulator.spill import Spill
from simulator.vendor import Vendor


def vendors_by_name(names: Iterable[str], ids: Identifiers, file: Spill) -> dict[str, Vendor]:
    """One of each, without a past, whose old things go to the file.

    Raises ImportError for a provider that has no folder here.
    """
    made: dict[str, Vendor] = {}
    for name in names:
        vendor: Callable[[Identifiers, Spill], Vendor] = import_module(f"simulator.{name}").Vendor
        made[name] = vendor(ids, file)
    return made
