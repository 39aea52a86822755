"""The API's operations by name, for what is done at the console through them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from api.routes import ROUTES

if TYPE_CHECKING:
    from api.console.visit import Visit
    from api.contract.route import Route


def operation(name: str) -> Route[Visit]:
    """The route of this operation. Raises StopIteration for one there is none of."""
    return next(route for route in ROUTES if route.operation_id == name)
