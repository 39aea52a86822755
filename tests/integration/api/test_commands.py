"""`payments keys`, `payments dlq` and `payments openapi`, as an operator runs them."""

from __future__ import annotations

import asyncio
import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import orjson
import pytest
from click.testing import CliRunner, Result

from cli.__main__ import main
from payments.commands import ParkMessage
from payments.dead_letter import DeadLetter, DeadLetterReason, SourceMessage
from store.write.group_commit import Submission

if TYPE_CHECKING:
    from process.addresses import DatabaseAddress
    from tests.support.api.ingress import Ingress


@dataclass(frozen=True)
class Shell:
    """Runs `payments` against the test's database."""

    environment: dict[str, str]

    async def run(self, *arguments: str) -> Result:
        runner = CliRunner(env=self.environment)
        return await asyncio.to_thread(runner.invoke, main, arguments)

    async def output(self, *arguments: str) -> str:
        result = await self.run(*arguments)
        assert result.exit_code == 0, result.output
        return result.stdout


@pytest.fixture
def shell(database: DatabaseAddress) -> Shell:
    return Shell(
        {
            "PAYMENTS_DATABASE_HOST": database.host,
            "PAYMENTS_DATABASE_PORT": str(database.port),
            "PAYMENTS_DATABASE_USER": database.user,
            "PAYMENTS_DATABASE_PASSWORD": database.password,
            "PAYMENTS_DATABASE_DATABASE": database.database,
            "COLUMNS": "200",
        }
    )


async def _status(ingress: Ingress, token: str, path: str = "/api/v1/payments") -> int:
    return (await ingress.client.with_token(token).get(path)).status


async def test_a_key_is_made_used_rotated_and_revoked(shell: Shell, guarded: Ingress) -> None:
    """The life of a key, with the ingress seeing each step."""
    made = await shell.output("keys", "create", "--tenant", "acme", "--name", "shop")
    token = made.strip()
    assert token.startswith("pk_")
    assert await _status(guarded, token) == 200
    assert await _status(guarded, token, "/api/v1/dead-letters") == 403
    key_id = token.split("_")[1]
    rotated = orjson.loads(
        await shell.output("keys", "rotate", key_id, "--overlap", "1h", "--json")
    )
    assert rotated["tenant"] == "acme"
    assert await _status(guarded, rotated["key"]) == 200
    assert await _status(guarded, token) == 200
    await shell.output("keys", "revoke", rotated["id"])
    states = {}
    for line in (await shell.output("keys", "list", "--tenant", "acme", "--json")).splitlines():
        listed = orjson.loads(line)
        states[listed["id"]] = (listed["expires_at"] is None, listed["revoked_at"] is None)
    assert states == {key_id: (False, True), rotated["id"]: (True, False)}
    table = await shell.output("keys", "list")
    assert "revoked" in table
    assert token.split("_", 2)[2] not in table


@pytest.mark.parametrize(
    ("asked", "lifetime"),
    [((), timedelta(hours=720)), (("--expires-in", "1h"), timedelta(hours=1))],
)
async def test_a_key_that_ends_is_replaced_by_one_that_does(
    shell: Shell, asked: tuple[str, ...], lifetime: timedelta
) -> None:
    """As long after it was made, unless somebody says otherwise."""
    create = ("keys", "create", "--tenant", "acme", "--name", "shop", "--expires-in", "720h")
    made = orjson.loads(await shell.output(*create, "--json"))
    rotated = orjson.loads(await shell.output("keys", "rotate", made["id"], *asked, "--json"))
    listed = await shell.output("keys", "list", "--tenant", "acme", "--json")
    keys = {each["id"]: each for each in map(orjson.loads, listed.splitlines())}
    successor = keys[rotated["id"]]
    created_at, expires_at = (
        datetime.fromisoformat(successor[each]) for each in ("created_at", "expires_at")
    )
    assert expires_at - created_at == lifetime


async def test_a_key_may_be_narrow_and_short_lived(shell: Shell, guarded: Ingress) -> None:
    """Scopes and an end are given when it is made."""
    made = await shell.output(
        *("keys", "create", "--tenant", "acme", "--name", "ops", "--scope", "ops"),
        *("--expires-in", "1h", "--json"),
    )
    described = orjson.loads(made)
    assert described["scopes"] == ["ops"]
    assert described["expires_at"] is not None
    assert await _status(guarded, described["key"], "/api/v1/dead-letters") == 200
    assert await _status(guarded, described["key"]) == 403


async def test_what_is_not_there_is_one_sentence(shell: Shell) -> None:
    """No trace of a stack, and a non-zero exit code."""
    for arguments in (
        ("keys", "revoke", "0000000000000000"),
        ("keys", "rotate", "0000000000000000"),
        ("keys", "create", "--tenant", "a", "--name", "b", "--expires-in", "soon"),
        ("dlq", "show", str(uuid.uuid4())),
        ("dlq", "redrive", str(uuid.uuid4()), "--reason", "x"),
    ):
        result = await shell.run(*arguments)
        assert result.exit_code in {1, 2}, arguments
        assert "Traceback" not in result.output
    away = Shell(shell.environment | {"PAYMENTS_DATABASE_PORT": "1"})
    result = await away.run("dlq", "list")
    assert result.exit_code == 1
    assert "the database cannot be reached" in result.output


async def test_letters_are_listed_shown_and_resolved(shell: Shell, ingress: Ingress) -> None:
    """Without an ingress: parked letters of every tenant, with their bytes, and signed."""
    ids = []
    for tenant in ("acme", "other"):
        source = SourceMessage("payments.charges", 1, 2, b"k", b"{\xff[bold]}", {"ce_type": "x"})
        reason = DeadLetterReason.UNDECODABLE
        park = ParkMessage(uuid.uuid4(), tenant, "charge", reason, "bad [byte]", source)
        letter = (await ingress.committer.submit(Submission(park))).result
        assert isinstance(letter, DeadLetter)
        ids.append(str(letter.id))
    table = await shell.output("dlq", "list")
    assert all(each in table for each in (*ids, "bad [byte]"))
    shown = await shell.output("dlq", "show", ids[0])
    assert r"{\xff[bold]}" in shown
    whole = orjson.loads(await shell.output("dlq", "show", ids[0], "--json"))
    assert whole["value_base64"] == "e/9bYm9sZF19"
    refused = await shell.run("dlq", "redrive", ids[0], "--reason", "try")
    assert refused.exit_code == 1
    assert "cannot be redriven" in refused.output
    told = await shell.output("dlq", "discard", *ids, "--reason", "junk", "--actor", "ann")
    assert told.count("is discarded.") == 2
    assert await shell.output("dlq", "list", "--json") == ""
    closed = orjson.loads(await shell.output("dlq", "show", ids[1], "--json"))
    assert (closed["resolved_by"], closed["resolution"]) == ("ann", "junk")
    assert len((await shell.output("dlq", "list", "--state", "any", "--json")).splitlines()) == 2


async def test_the_document_is_printed_as_it_is_served(shell: Shell, ingress: Ingress) -> None:
    """`payments openapi` needs no server and says the same."""
    served = await ingress.client.get("/openapi.json")
    assert orjson.loads(await shell.output("openapi")) == orjson.loads(served.body)
