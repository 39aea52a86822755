"""Every route there is and its handler, one resource a module."""

from typing import Final

from api.routes import (
    accounts,
    audit_log,
    dead_letters,
    disputes,
    documentation,
    events,
    health,
    payment_details,
    payment_methods,
    payments,
    reconciliation,
    refunds,
    resolutions,
    streams,
    transfers,
    webhook_deliveries,
    webhook_endpoints,
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
    *events.ROUTES,
    *webhook_endpoints.ROUTES,
    *webhook_deliveries.ROUTES,
    *streams.ROUTES,
    *dead_letters.ROUTES,
    *resolutions.ROUTES,
    *reconciliation.ROUTES,
    *audit_log.ROUTES,
    *documentation.ROUTES,
)
