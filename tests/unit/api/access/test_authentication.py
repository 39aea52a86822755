"""API keys: which open something, for how long they are believed, what a refusal tells."""

import asyncio
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import pytest

from api.access.authentication import (
    BELIEVED_SECONDS,
    UNKNOWN_SECONDS,
    ApiKeys,
    NewSecret,
    Open,
    new_secret,
)
from api.access.scopes import Scope
from api.http.problems import Problem
from store.read.api_keys import ApiKey

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass
class Keyring:
    """Stored keys and two clocks, by hand."""

    stored: dict[str, ApiKey] = field(default_factory=dict)
    seconds: float = 0.0
    asked: int = 0

    def __post_init__(self) -> None:
        self.keys = ApiKeys(self._find, lambda: self.now, lambda: self.seconds)

    @property
    def now(self) -> datetime:
        return NOW + timedelta(seconds=self.seconds)

    def add(self, **fields: datetime | None) -> NewSecret:
        secret = new_secret()
        self.stored[secret.key_id] = replace(
            ApiKey(
                id=secret.key_id,
                tenant_id="acme",
                name="shop",
                secret_sha256=secret.secret_sha256,
                scopes=frozenset({"payments:read"}),
                created_at=NOW,
            ),
            **fields,  # type: ignore[arg-type]  # replace() takes any field; tests give times
        )
        return secret

    async def refusal(self, authorization: str | None) -> Problem:
        with pytest.raises(Problem) as refusal:
            await self.keys.principal(authorization)
        assert refusal.value.kind.status == 401
        assert refusal.value.headers["WWW-Authenticate"].startswith("Bearer ")
        return refusal.value

    async def _find(self, key_id: str) -> ApiKey | None:
        self.asked += 1
        await asyncio.sleep(0)
        return self.stored.get(key_id)


@pytest.fixture
def ring() -> Keyring:
    return Keyring()


async def test_a_key_names_its_tenant_and_what_it_is_good_for(ring: Keyring) -> None:
    """The principal is the stored key's; the scheme's case does not matter."""
    secret = ring.add()
    principal = await ring.keys.principal(f"bearer {secret.text}")
    assert (principal.tenant_id, principal.scopes) == ("acme", frozenset({"payments:read"}))
    assert principal.actor == f"shop ({secret.key_id})"


async def test_what_is_no_key_opens_nothing(ring: Keyring) -> None:
    """Every wrong key gets one and the same answer, which does not say what was wrong."""
    secret = ring.add()
    other = ring.add()
    wrong = [
        "",
        secret.text,
        f"Basic {secret.text}",
        f"Bearer {secret.text}x",
        f"Bearer {secret.text[:-1]}",
        f"Bearer pk_{secret.key_id}_{other.text.split('_', 2)[2]}",
        f"Bearer {new_secret().text}",
        "Bearer pk__",
        f"Bearer pk_{secret.key_id}_\udcff",
        "Bearer " + "x" * 10_000,
    ]
    details = {(await ring.refusal(sent)).detail for sent in wrong}
    assert details == {"the API key is not valid"}
    assert (await ring.refusal(None)).detail == "no API key was sent"


async def test_a_key_ends_when_it_expires_to_the_moment(ring: Keyring) -> None:
    """An expiry is checked by the clock, however lately the key was looked up."""
    secret = ring.add(expires_at=NOW + timedelta(seconds=2))
    assert (await ring.keys.principal(f"Bearer {secret.text}")).tenant_id == "acme"
    ring.seconds = 2.0
    await ring.refusal(f"Bearer {secret.text}")


async def test_a_revocation_is_seen_after_a_few_seconds(ring: Keyring) -> None:
    """What was looked up is believed for five seconds, and then asked for again."""
    secret = ring.add()
    assert (await ring.keys.principal(f"Bearer {secret.text}")).tenant_id == "acme"
    ring.stored[secret.key_id] = replace(ring.stored[secret.key_id], revoked_at=NOW)
    ring.seconds = BELIEVED_SECONDS
    assert (await ring.keys.principal(f"Bearer {secret.text}")).tenant_id == "acme"
    ring.seconds = BELIEVED_SECONDS + 0.1
    await ring.refusal(f"Bearer {secret.text}")


async def test_a_key_that_is_unknown_is_asked_for_once_in_a_while(ring: Keyring) -> None:
    """A thousand tries are not a thousand questions; made meanwhile, it works a moment later."""
    secret = new_secret()
    for _ in range(1000):
        await ring.refusal(f"Bearer {secret.text}")
    assert ring.asked == 1
    made = ring.add()
    ring.stored[secret.key_id] = replace(
        ring.stored[made.key_id], id=secret.key_id, secret_sha256=secret.secret_sha256
    )
    ring.seconds = UNKNOWN_SECONDS + 0.1
    assert (await ring.keys.principal(f"Bearer {secret.text}")).tenant_id == "acme"


async def test_open_mode_is_one_tenant_that_may_do_everything() -> None:
    """With or without a header."""
    principal = await Open().principal(None)
    assert principal == await Open().principal("Bearer whatever")
    assert principal.scopes == {scope.value for scope in Scope}


async def test_who_has_no_valid_key_takes_nobodys_turn(ring: Keyring) -> None:
    """Nor with a key that was one: its tenant's own requests do not stand behind it."""
    good, revoked, deleted = ring.add(), ring.add(), ring.add(expires_at=NOW + timedelta(hours=1))
    for each in (good, revoked, deleted):
        assert ring.keys.asker(f"Bearer {each.text}") == ""
        await ring.keys.principal(f"Bearer {each.text}")
        assert ring.keys.asker(f"Bearer {each.text}") == "acme"
    ring.stored[revoked.key_id] = replace(ring.stored[revoked.key_id], revoked_at=NOW)
    del ring.stored[deleted.key_id]
    ring.seconds = BELIEVED_SECONDS + 0.1
    await ring.refusal(f"Bearer {revoked.text}")
    await ring.refusal(f"Bearer {deleted.text}")
    askers = [ring.keys.asker(f"Bearer {each.text}") for each in (good, revoked, deleted)]
    assert askers == ["acme", "", ""]
    assert ring.keys.asker(f"Bearer {good.text}x") == ""


async def test_a_key_that_has_expired_takes_nobodys_turn(ring: Keyring) -> None:
    secret = ring.add(expires_at=NOW + timedelta(seconds=2))
    await ring.keys.principal(f"Bearer {secret.text}")
    ring.seconds = 2.0
    assert ring.keys.asker(f"Bearer {secret.text}") == ""
