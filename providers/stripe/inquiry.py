"""Finding what an unanswered call to Stripe left behind, by reading only.

By reference where there is one, else by the ids in the metadata: through the search, whose
hits are believed, and then through the list. The search alone would not do: it lags behind
by up to a minute, and more when Stripe is in trouble. Nor can the list be read to its end on
an account that makes hundreds of payments a minute; its newest pages are a second look, and
what neither shows is `NotFound`: the same call under the same key then asks and answers.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from datetime import timedelta
from typing import Final

from payments.outcome import NotFound, Retriable, Unknown
from providers.gateway import AnyRequest, Inquiry, Trouble
from providers.stripe.answers import Intent, Page, Refund, most_telling
from providers.stripe.client import Fields, ObjectT, StripeClient, segment

INTENTS: Final = "/v1/payment_intents"
REFUNDS: Final = "/v1/refunds"
# Between our clock and Stripe's, which stamps `created`.
_CLOCK_SKEW: Final = timedelta(minutes=5)

Nothing = NotFound | Retriable | Unknown


async def find_intent(client: StripeClient, inquiry: Inquiry) -> Intent | Nothing:
    """The PaymentIntent asked after."""
    if inquiry.provider_reference is not None:
        return await read_intent(client, inquiry, inquiry.provider_reference)
    payment_id = str(inquiry.payment_id)

    def is_ours(intent: Intent) -> bool:
        return intent.metadata.get("payment_id") == payment_id

    query = {"query": f"metadata['payment_id']:'{payment_id}'"}
    hits = await client.read(inquiry, f"{INTENTS}/search", Page[Intent], query)
    if isinstance(hits, Page) and (ours := [hit for hit in hits.data if is_ours(hit)]):
        # A hit is as old as the index: the status is read afresh.
        return await read_intent(client, inquiry, most_telling(ours).id)
    fields: Fields = {}
    if (since := inquiry.asked_since) is not None:
        fields = {"created[gte]": int((since - _CLOCK_SKEW).timestamp())}
    pages = client.pages(inquiry, INTENTS, Page[Intent], fields)
    listed = await _first_page_with(pages, is_ours)
    match listed:
        case list():
            return most_telling(listed)
        case Unknown(Trouble.LIST_TOO_LONG):
            return NotFound()
        case _:
            return listed


async def read_intent(
    client: StripeClient, request: AnyRequest, reference: str
) -> Intent | Retriable | Unknown:
    """The PaymentIntent of a reference Stripe gave us; not finding it proves nothing."""
    return await client.read(request, f"{INTENTS}/{segment(reference)}", Intent)


async def find_refund(client: StripeClient, inquiry: Inquiry) -> Refund | Nothing:
    """The refund asked after, of the charge whose reference or payment id is known."""
    if inquiry.refund_id is None:
        return Unknown(Trouble.INCONCLUSIVE, "a refund is asked after without its id")
    if (charge := inquiry.provider_reference) is None:
        intent = await find_intent(client, inquiry)
        if not isinstance(intent, Intent):
            return intent
        charge = intent.id
    return await find_refund_of(client, inquiry, charge, str(inquiry.refund_id))


async def find_refund_of(
    client: StripeClient, request: AnyRequest, charge: str, refund_id: str
) -> Refund | Nothing:
    """The refund of a charge that carries our refund id."""

    def is_ours(refund: Refund) -> bool:
        return refund.metadata.get("refund_id") == refund_id

    pages = client.pages(request, REFUNDS, Page[Refund], {"payment_intent": charge})
    listed = await _first_page_with(pages, is_ours)
    return listed[0] if isinstance(listed, list) else listed


async def _first_page_with(
    pages: AsyncGenerator[list[ObjectT] | Retriable | Unknown, None],
    is_ours: Callable[[ObjectT], bool],
) -> list[ObjectT] | Nothing:
    """Those of ours on the newest page that has any; `NotFound` after the whole list."""
    async with aclosing(pages):
        async for page in pages:
            if not isinstance(page, list):
                return page
            if ours := [item for item in page if is_ours(item)]:
                return ours
    return NotFound()
