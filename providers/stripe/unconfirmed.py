"""What becomes of a PaymentIntent that nobody confirmed: it is canceled, once nobody can be at it.

Ours are made and confirmed by one request. One that broke between the two has moved nothing and
will not by itself, and its key may say no more than that it broke, for as long as Stripe remembers
it. So the request is left time to end, and then its intent is canceled, which Stripe refuses to do
to one that was confirmed meanwhile: whichever came first, what is answered is final. Sources:
docs.stripe.com/payments/paymentintents/lifecycle, docs.stripe.com/api/payment_intents/cancel,
docs.stripe.com/api/idempotent_requests.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from payments.outcome import Declined, Retriable, Unknown
from payments.record import replace
from providers.gateway import Trouble
from providers.stripe.answers import CONTRADICTIONS
from providers.stripe.client import StripeClient, segment
from providers.stripe.inquiry import INTENTS, read_intent
from providers.stripe.objects import Intent

if TYPE_CHECKING:
    from providers.gateway import Inquiry

# Stripe's own clients give a request 80 s; the rest is for what its clock and ours differ by, and
# for a second intent, if there is one, to be found by the search.
AT_WORK_S: Final = 300.0


async def settled(
    client: StripeClient, inquiry: Inquiry, intents: list[Intent], now: float
) -> list[Intent] | Retriable | Unknown:
    """The same intents, those canceled that were left unconfirmed; `now` is in Unix seconds."""
    if any(each.has_money for each in intents):
        return intents
    after: list[Intent] = []
    for each in intents:
        if each.is_unconfirmed and 0 < each.created < now - AT_WORK_S:
            ended = await _ended(client, inquiry, each)
            if not isinstance(ended, list):
                return ended
            after += ended
        else:
            after.append(each)
    return after


async def _ended(
    client: StripeClient, inquiry: Inquiry, intent: Intent
) -> list[Intent] | Retriable | Unknown:
    request = replace(inquiry, idempotency_key=f"{inquiry.idempotency_key}-{intent.id}")
    path = f"{INTENTS}/{segment(intent.id)}/cancel"
    answer = await client.post(request, path, {"cancellation_reason": "abandoned"}, Intent)
    match answer:
        case Intent():
            return [answer]
        case Declined(code) if code in CONTRADICTIONS:
            return await read_intent(client, inquiry, intent.id)
        case Declined(code, message):
            return Unknown(Trouble.INCONCLUSIVE, f"{code}: {message}")
        case _:
            return answer
