"""A vendor without a server: what it is asked is decided, applied, and replayed into a twin.

The vendor keeps as little in memory as it can, and its twin everything.
"""

import time
from dataclasses import fields
from random import Random

from simulator.dashboard import Action
from simulator.entries import Entry, decode, encode
from simulator.faults import NO_FAULTS, Faults
from simulator.identifiers import Identifiers
from simulator.journal_report import JournalReport, PaymentReport
from simulator.paypal import tokens
from simulator.paypal.vendor import PayPal
from simulator.stripe.vendor import Stripe
from simulator.vendor import Ask, Decision, Refused, Vendor, Wire
from tests.support.simulator.spills import FEWEST, spill

_SHARED = {field.name for field in fields(Decision)} & {field.name for field in fields(Entry)}


class Counter:
    """Requests and actions, one after another, with the report on them."""

    def __init__(self, vendor: Vendor, twin: Vendor) -> None:
        self.vendor, self.twin = vendor, twin
        self.seq = 0
        self.reports = JournalReport(spill(FEWEST))

    def ask(
        self,
        method: str,
        path: str,
        body: bytes = b"",
        key: str | None = None,
        *,
        faults: Faults = NO_FAULTS,
    ) -> Decision:
        """Ask; a refusal before any work is a decision like any other."""
        headers = {"Authorization": f"Bearer {tokens.issue(time.time(), 'anybody')}"}
        if key is not None:
            headers |= {"Idempotency-Key": key, "PayPal-Request-Id": key}
        path, _, query = path.partition("?")
        request_id = self.vendor.new_request_id()
        wire = Wire(method, path, query, headers, body, time.time(), request_id)
        ask = self.vendor.understand(wire)
        try:
            decision = ask.work(faults)
        except Refused as refused:
            return Decision(status=refused.status, outcome=refused.code, error=refused.error)
        self._settle(ask, decision)
        return decision

    def act(self, action: Action, subject: str) -> Decision | None:
        """Do in the dashboard; what is refused leaves no trace."""
        wire = Wire("POST", "/", "", {}, b"", time.time(), self.vendor.new_request_id())
        try:
            decision = self.vendor.act(action, subject, wire.at)
        except Refused as refused:
            return Decision(status=refused.status, outcome=refused.code, error=refused.error)
        if decision is not None and decision.error is None:
            self._settle(Ask(wire=wire, operation=action.operation, work=_never), decision)
        return decision

    def report(self, payment_id: str) -> PaymentReport:
        report = self.reports.payment(self.vendor.name, payment_id)
        assert report is not None
        return report

    def _settle(self, ask: Ask, decision: Decision) -> None:
        self.seq += 1
        decided = {name: getattr(decision, name) for name in _SHARED}
        entry = Entry(
            seq=self.seq,
            at=ask.wire.at,
            vendor=self.vendor.name,
            operation=ask.operation,
            method=ask.wire.method,
            path=ask.wire.path,
            request_id=ask.wire.request_id,
            key=ask.key,
            fingerprint=ask.fingerprint,
            **decided | {"payment_id": decision.payment_id or ask.payment_id},
        )
        self.vendor.apply(entry)
        self.twin.apply(decode(encode(entry), {self.twin.name: self.twin.decoders}))
        self.reports.apply(entry)
        answers = [one.answer(ask, decision) for one in (self.vendor, self.twin)]
        assert answers[0] == answers[1], "a replayed journal answers as the process that wrote it"


def stripe_counter() -> Counter:
    return Counter(Stripe(_ids(), spill(FEWEST)), Stripe(_ids(), spill()))


def paypal_counter() -> Counter:
    return Counter(PayPal(_ids(), spill(FEWEST)), PayPal(_ids(), spill()))


def _ids() -> Identifiers:
    return Identifiers(Random(3), time.time)


def _never(_faults: Faults) -> Decision:
    raise AssertionError("an action in a dashboard is no request")
