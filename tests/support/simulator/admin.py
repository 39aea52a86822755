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

    def arm(self, kind: str, **spec: str | float | dict[str, str]) -> dict[str, Any]:
        answer = requests.post(
            f"{self.url}/_simulator/faults", json={"kind": kind, **spec}, timeout=5
        )
        assert answer.status_code == 201, answer.text
        return dict(answer.json())

    def clear(self) -> None:
        requests.delete(f"{self.url}/_simulator/faults", timeout=5).raise_for_status()

    def expire(self, payment_id: str) -> None:
        """The vendor lets the payment's authorization go."""
        self.act(f"payments/{payment_id}/expire")

    def act(self, path: str, **body: str | int) -> dict[str, Any]:
        """Something is done in a vendor's dashboard, or by banks, or by time."""
        answer = self.try_to(path, **body)
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def try_to(self, path: str, **body: str | int) -> requests.Response:
        """The same, where it may be refused."""
        return requests.post(f"{self.url}/_simulator/{path}", json=body, timeout=5)

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
