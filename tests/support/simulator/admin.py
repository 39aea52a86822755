"""The simulator's admin API, as tests use it."""

import uuid
from dataclasses import dataclass
from typing import Any

import requests


def new_id() -> str:
    return str(uuid.uuid4())


@dataclass(frozen=True, slots=True)
class Admin:
    url: str

    def arm(self, kind: str, **spec: str | float) -> dict[str, Any]:
        answer = requests.post(
            f"{self.url}/_simulator/faults", json={"kind": kind, **spec}, timeout=5
        )
        assert answer.status_code == 201, answer.text
        return dict(answer.json())

    def clear(self) -> None:
        requests.delete(f"{self.url}/_simulator/faults", timeout=5).raise_for_status()

    def expire(self, payment_id: str) -> None:
        """The vendor lets the payment's authorization go."""
        url = f"{self.url}/_simulator/payments/{payment_id}/expire"
        requests.post(url, timeout=5).raise_for_status()

    def journal(self, **filters: str) -> list[dict[str, Any]]:
        answer = requests.get(f"{self.url}/_simulator/journal", params=filters, timeout=5)
        answer.raise_for_status()
        return list(answer.json()["entries"])

    def summary(self) -> dict[str, Any]:
        answer = requests.get(f"{self.url}/_simulator/journal/summary", timeout=5)
        answer.raise_for_status()
        return dict(answer.json())

    def payment(self, payment_id: str) -> dict[str, Any]:
        answer = requests.get(f"{self.url}/_simulator/payments/{payment_id}", timeout=5)
        answer.raise_for_status()
        (payment,) = answer.json()["payments"]
        return dict(payment)
