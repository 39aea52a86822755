"""Every route there is and its handler, one resource a module."""

from typing import Final

from api.routes import (
    accounts,
    dead_letters,
    disputes,
    documentation,
    health,
    payment_details,
    payment_methods,
    payments,
    reconciliation,
    refunds,
    resolutions,
    streams,
    transfers,
)

ROUTES: Final = (
    *health.ROUTES,
    *accounts.ROUTES,
    *payment_methods.ROUTES,
    *transfers.ROUTES,
    *payments.ROUTES,
    *payment_details.ROUTES,
    *refunds.ROUTES,
    *disputes.ROUTES,
    *streams.ROUTES,
    *dead_letters.ROUTES,
    *resolutions.ROUTES,
    *reconciliation.ROUTES,
    *documentation.ROUTES,
)
