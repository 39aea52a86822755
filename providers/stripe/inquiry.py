"""Finding what an unanswered call to Stripe left behind, by reading only.

By reference where there is one, else by the ids in the metadata: on the newest page of the list,
which shows what was just made, and where that page is not all, through the search, which lags
behind by up to a minute, and more when Stripe is in trouble. No list of a busy account is read to
its end: what neither shows is `NotFound`, and the same call under the same key then asks and
answers. A quiet account is never searched: of searches Stripe takes fewer than of anything else.
Source: docs.stripe.com/search, docs.stripe.com/rate-limits.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

from payments.outcome import NotFound, Retriable, Unknown
from payments.record import Struct
from providers.gateway import Trouble
from providers.stripe.client import PAGE, Asking, Fields, StripeClient, segment
from providers.stripe.objects import Intent, Page, Refund

if TYPE_CHECKING:
    from providers.gateway import Inquiry, StandingQuery

INTENTS: Final = "/v1/payment_intents"
REFUNDS: Final = "/v1/refunds"
# Between our clock and Stripe's, which stamps `created`.
_CLOCK_SKEW: Final = timedelta(minutes=5)

Nothing = NotFound | Retriable | Unknown


class Sight(Struct, frozen=True):
    """The PaymentIntents of a payment that were seen; `is_all`: there certainly are no others."""

    intents: list[Intent]
    unread: list[Retriable | Unknown]
    is_all: bool


async def find_intents(client: StripeClient, inquiry: Inquiry) -> list[Intent] | Nothing:
    """The PaymentIntents asked after: one where its reference is known, else all in sight."""
    if inquiry.provider_reference is not None:
        return await read_intent(client, inquiry, inquiry.provider_reference)
    sight = await intents_of(client, inquiry, str(inquiry.payment_id))
    if sight.unread and not any(each.has_money for each in sight.intents):
        # What was not read may be the one that took the money.
        return sight.unread[0]
    return sight.intents or NotFound()


async def intents_of(
    client: StripeClient, asking: Inquiry | StandingQuery, payment_id: str
) -> Sight:
    """All that name the payment, as far as the newest page and the search show them."""
    fields: Fields = {"limit": PAGE}
    if (since := asking.asked_since) is not None:
        fields = {**fields, "created[gte]": int((since - _CLOCK_SKEW).timestamp())}
    newest = await client.read(asking, INTENTS, Page[Intent], fields)
    found = _of(newest.data, payment_id) if isinstance(newest, Page) else []
    if isinstance(newest, Page) and not newest.has_more:
        return Sight(found, [], is_all=True)
    seen = {each.id for each in found}
    searched = await _searched(client, asking, payment_id)
    if isinstance(searched, list):
        found += [each for each in searched if each.id not in seen]
    unread = [each for each in (newest, searched) if isinstance(each, Retriable | Unknown)]
    return Sight(found, unread, is_all=False)


async def _searched(
    client: StripeClient, asking: Asking, payment_id: str
) -> list[Intent] | Retriable | Unknown:
    """What the search knows of a payment. A hit is as old as the index: it is read afresh."""
    query: Fields = {"query": f"metadata['payment_id']:'{payment_id}'", "limit": PAGE}
    hits = await client.read(asking, f"{INTENTS}/search", Page[Intent], query)
    if not isinstance(hits, Page):
        return hits
    if hits.has_more:
        return Unknown(Trouble.LIST_TOO_LONG, f"more than {PAGE} intents name the payment")
    fresh: list[Intent] = []
    for hit in _of(hits.data, payment_id):
        read = await read_intent(client, asking, hit.id)
        if not isinstance(read, list):
            return read
        fresh += read
    return fresh


def _of(intents: list[Intent], payment_id: str) -> list[Intent]:
    return [each for each in intents if each.metadata.get("payment_id") == payment_id]


async def read_intent(
    client: StripeClient, asking: Asking, reference: str
) -> list[Intent] | Retriable | Unknown:
    """The PaymentIntent of a reference Stripe gave us; not finding it proves nothing."""
    read = await client.read(asking, f"{INTENTS}/{segment(reference)}", Intent)
    return [read] if isinstance(read, Intent) else read


async def find_refunds(client: StripeClient, inquiry: Inquiry) -> list[Refund] | Nothing:
    """The refund asked after, of the charge whose reference or payment id is known."""
    if inquiry.refund_id is None:
        return Unknown(Trouble.INCONCLUSIVE, "a refund is asked after without its id")
    if (charge := inquiry.provider_reference) is None:
        intents = await find_intents(client, inquiry)
        if not isinstance(intents, list):
            return intents
        charge = min(intents, key=lambda each: each.precedence).id
    return await find_refunds_of(client, inquiry, charge, str(inquiry.refund_id))


async def find_refunds_of(
    client: StripeClient, asking: Asking, charge: str, refund_id: str
) -> list[Refund] | Nothing:
    """Whatever of a charge's refunds carries our refund id."""
    listed = await client.listed(asking, REFUNDS, Page[Refund], {"payment_intent": charge})
    if not isinstance(listed, list):
        return listed
    ours = [each for each in listed if (each.metadata or {}).get("refund_id") == refund_id]
    return ours or NotFound()
