"""What a webhook is: its body, its signature, and the secret that it is signed by.

Signed as Standard Webhooks has it (https://www.standardwebhooks.com): `webhook-signature` is an
HMAC-SHA256 over the event's id, the time of the try and the body, for each secret that is valid.
A secret is nowhere: it is derived (HMAC-SHA256) from its endpoint and its number with a key that
only our processes have, so that a database, a backup or a cache that is stolen forges nothing.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from dataclasses import dataclass
from datetime import UTC
from typing import TYPE_CHECKING, Final

import orjson

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime
    from uuid import UUID

    from payments.webhook_endpoint import WebhookEndpoint

# Of the payload, as `topics/contracts/catalogue.py` counts them; the first one is the default.
API_VERSIONS: Final = ("v1",)
TEST_EVENT: Final = "webhook.test"
ID_HEADER: Final = "webhook-id"
TIMESTAMP_HEADER: Final = "webhook-timestamp"
SIGNATURE_HEADER: Final = "webhook-signature"

_SECRET_PREFIX: Final = "whsec_"  # noqa: S105 - what tells a secret from others
_KEY_ID_DIGITS: Final = 16


class NoKey(Exception):
    """No key to derive a secret with, or not the one that it was derived with before."""


@dataclass(frozen=True, slots=True)
class Keyring:
    """The keys that secrets are derived with: the first for new ones, all for those there are."""

    keys: tuple[bytes, ...]

    @classmethod
    def of(cls, text: str) -> Keyring:
        """Those in a setting, with commas between them."""
        return cls(tuple(each.strip().encode() for each in text.split(",") if each.strip()))

    @property
    def current_id(self) -> str:
        """What the key for new secrets is called. Raises NoKey."""
        if not self.keys:
            raise NoKey("there is no key to derive secrets with")
        return _id_of(self.keys[0])

    def secret(self, endpoint_id: UUID, number: int, key_id: str) -> str:
        """An endpoint's secret, as its owner is shown it: `whsec_...`. Raises NoKey."""
        key = next((each for each in self.keys if _id_of(each) == key_id), None)
        if key is None:
            raise NoKey(f"the key {key_id} is not among those that are set")
        derived = hmac.digest(key, f"webhook secret {endpoint_id} {number}".encode(), "sha256")
        return _SECRET_PREFIX + base64.b64encode(derived).decode()

    def secrets(self, endpoint: WebhookEndpoint, now: datetime) -> list[str]:
        """Those that sign for the endpoint now, the newest first. Raises NoKey."""
        number = endpoint.secret_number
        secrets = [self.secret(endpoint.id, number, endpoint.key_id)]
        until, previous = endpoint.previous_secret_until, endpoint.previous_key_id
        if until is not None and previous is not None and now < until:
            secrets.append(self.secret(endpoint.id, number - 1, previous))
        return secrets


def _id_of(key: bytes) -> str:
    return hashlib.sha256(b"webhook key " + key).hexdigest()[:_KEY_ID_DIGITS]


def body_of(event_id: UUID, event_type: str, occurred_at: datetime, data: bytes) -> bytes:
    """The body: `data` is the value of the event's message, byte for byte."""
    timestamp = occurred_at.astimezone(UTC).isoformat().replace("+00:00", "Z")
    head = orjson.dumps({"id": str(event_id), "type": event_type, "timestamp": timestamp})
    return head[:-1] + b',"data":' + data + b"}"


def signed(event_id: UUID, now: datetime, body: bytes, secrets: Iterable[str]) -> Mapping[str, str]:
    """The headers that vouch for a body sent now."""
    timestamp = str(int(now.timestamp()))
    signatures = [signature(each, str(event_id), timestamp, body) for each in secrets]
    return {
        ID_HEADER: str(event_id),
        TIMESTAMP_HEADER: timestamp,
        SIGNATURE_HEADER: " ".join(signatures),
    }


def signature(secret: str, event_id: str, timestamp: str, body: bytes) -> str:
    """One signature: `v1,` and base64."""
    key = base64.b64decode(secret.removeprefix(_SECRET_PREFIX))
    said = f"{event_id}.{timestamp}.".encode() + body
    return "v1," + base64.b64encode(hmac.digest(key, said, "sha256")).decode()
