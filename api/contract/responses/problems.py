"""What every refusal says: one form for whatever went wrong (RFC 9457)."""

# The annotations are what pydantic reads at run time.
from __future__ import annotations

from pydantic import BaseModel

from api.contract.responses.answers import FROZEN
from payments.dead_letter import DeadLetterState
from payments.payment import PaymentStatus
from payments.refund import RefundStatus


class ProblemErrorResponse(BaseModel):
    """What is wrong with one part of a request: a JSON pointer into the body, or a parameter."""

    model_config = FROZEN

    reason: str
    pointer: str | None = None
    parameter: str | None = None


class ProblemResponse(BaseModel):
    """Every answer that is not a success (RFC 9457). `code` is stable; branch on it.

    Who is refused for the state of an account, a payment, a refund or a dead letter is told it.
    """

    model_config = FROZEN

    type: str
    title: str
    status: int
    detail: str
    instance: str
    code: str
    retryable: bool
    request_id: str
    errors: list[ProblemErrorResponse]
    error: str
    # Of the row that said no: a client need not ask again to know where it stands.
    account_version: int | None = None
    payment_status: PaymentStatus | None = None
    refund_status: RefundStatus | None = None
    dead_letter_state: DeadLetterState | None = None
