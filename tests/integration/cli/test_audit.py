"""What is changed at the command line stands in the audit log: who, what, why, and its outcome."""

from __future__ import annotations

import asyncio
import json
import uuid
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import asyncpg
import click
import pytest
from click.testing import CliRunner, Result

from cli.__main__ import main
from cli.operator import database as opened
from cli.signing import Signer, login, noted
from payments.account import Account
from payments.commands import ParkMessage
from payments.dead_letter import DeadLetter, DeadLetterReason
from payments.outcome import Unresolvable
from payments.payment import Payment
from store.migrations import migrate_down, read_migrations
from store.pool import connect_single
from store.tenant_names import TENANT_LENGTH_MAX
from store.write.group_commit import Submission
from tests.support.api.stage import settle
from tests.support.factories import SOURCE, open_account, pay

if TYPE_CHECKING:
    from pathlib import Path

    from process.addresses import DatabaseAddress
    from store.write.group_commit import GroupCommitter

_ACME = "acme"
# Of the command line: what is older has no place for it.
_LOG_LEARNT_IN = 27
_SIGNED = ("--actor", "ann", "--reason", "a test")


@pytest.fixture(autouse=True)
def environment(database: DatabaseAddress, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command finds the test's database as an operator's shell would lead it there."""
    for name in ("host", "port", "user", "password", "database"):
        monkeypatch.setenv(f"PAYMENTS_DATABASE_{name.upper()}", str(getattr(database, name)))


async def payments(*arguments: object) -> Result:
    """In a thread: the command has an event loop of its own."""
    return await asyncio.to_thread(CliRunner().invoke, main, [*map(str, arguments)])


async def done(*arguments: object) -> str:
    result = await payments(*arguments)
    assert result.exit_code == 0, result.output
    return result.output


async def lines(*arguments: object) -> list[dict[str, object]]:
    """The audit log as the command shows it, the oldest first."""
    listed = (await done("audit", "--json", *arguments)).splitlines()
    return [json.loads(line) for line in reversed(listed)]


async def said(*arguments: object) -> list[tuple[object, ...]]:
    return [
        tuple(line[name] for name in ("tenant_id", "action", "outcome"))
        for line in await lines(*arguments)
    ]


async def _parked(committer: GroupCommitter, tenant_id: str = _ACME) -> uuid.UUID:
    reason = DeadLetterReason.HANDLER_ERROR
    command = ParkMessage(uuid.uuid4(), tenant_id, "charge", reason, "no", SOURCE)
    letter = (await committer.submit(Submission(command))).result
    assert isinstance(letter, DeadLetter)
    return letter.id


async def test_a_letter_is_signed_for_with_what_became_of_it(committer: GroupCommitter) -> None:
    """As its tenant's; what is refused, too; a rehearsal leaves nothing."""
    letter, absent = await _parked(committer), uuid.uuid4()
    await done("dlq", "redrive", letter, "--dry-run", *_SIGNED)
    assert await lines() == []
    assert (await payments("dlq", "redrive", letter, absent, *_SIGNED)).exit_code == 1
    assert (await payments("dlq", "discard", letter, *_SIGNED)).exit_code == 1
    assert await said() == [
        (_ACME, "redrive_dead_letter", "done"),
        (None, "redrive_dead_letter", "dead_letter_not_found"),
        (_ACME, "discard_dead_letter", "dead_letter_not_parked"),
    ]
    first, second, third = await lines()
    assert first["target"] == f"/api/v1/dead-letters/{letter}/redrive"
    assert (first["actor"], first["via"], first["reason"]) == ("ann", "cli", "a test")
    assert first["asked"] == {"login": login()}
    assert first["request_id"] == second["request_id"] != third["request_id"]


async def test_a_verdict_is_signed_for_with_what_was_found(committer: GroupCommitter) -> None:
    """By whoever runs it, unless another name is given."""
    account = (await committer.submit(Submission(open_account(tenant_id=_ACME)))).result
    assert isinstance(account, Account)
    payment = (await committer.submit(Submission(pay(account.id, tenant_id=_ACME)))).result
    assert isinstance(payment, Payment)
    await settle(committer, str(payment.id), Unresolvable("key_window_passed", "nobody can tell"))
    found = ("--outcome", "succeeded", "--amount", "50.00", "--reference", "pi_found")
    await done("resolve", payment.id, *found, "--reason", "seen")
    (line,) = await lines()
    assert line["target"] == f"/api/v1/payments/{payment.id}/resolve"
    assert (line["tenant_id"], line["actor"], line["reason"]) == (_ACME, login(), "seen")
    assert line["asked"] == {
        "outcome": "succeeded", "amount": "50.00", "provider_reference": "pi_found",
    }  # fmt: skip


async def test_a_keys_life_is_signed_for_and_no_secret_is_kept(
    pool: asyncpg.Pool[asyncpg.Record],
) -> None:
    """Without a reason, which scripts from before do not give."""
    made = json.loads(await done("keys", "create", "--tenant", _ACME, "--name", "shop", "--json"))
    turned = await payments("keys", "rotate", made["id"])
    await done("keys", "revoke", made["id"], *_SIGNED)
    assert (await payments("keys", "revoke", "nobodys")).exit_code == 1
    assert await said() == [
        (_ACME, "create_api_key", "done"),
        (_ACME, "rotate_api_key", "done"),
        (_ACME, "revoke_api_key", "done"),
        (None, "revoke_api_key", "api_key_not_found"),
    ]
    (created, *_) = await lines()
    assert (created["actor"], created["reason"]) == (login(), None)
    kept = await pool.fetchval("SELECT string_agg(asked::text, '') FROM audit_log")
    secrets = [made["key"], turned.stdout.splitlines()[0]]
    assert not [each for each in secrets if each.split("_", 2)[2] in kept]


@pytest.mark.parametrize("tenant", [" ", "a" * (TENANT_LENGTH_MAX + 1)], ids=["blank", "long"])
async def test_no_key_is_made_for_what_is_no_tenant(tenant: str) -> None:
    """What is nobody's is the platform's; and what is too long for an index is nobody's."""
    refused = await payments("keys", "create", "--tenant", tenant, "--name", "shop")
    assert (refused.exit_code, await lines()) == (2, [])


async def test_what_is_asked_of_a_relay_is_signed_for_with_it(
    pool: asyncpg.Pool[asyncpg.Record], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As no tenant's; of a sink that there is none of there is nothing to sign for."""
    monkeypatch.setattr("cli.relay._WAIT_S", 0)
    assert (await payments("relay", "pause", "--sink", "kafka", *_SIGNED)).exit_code == 1
    assert await lines() == []
    await pool.execute("INSERT INTO relay_sinks (sink, slot) VALUES ('kafka', '')")
    await done("relay", "replay", "--sink", "kafka", "--key", "k", "--from", "2026-01-01", *_SIGNED)
    (line,) = await lines()
    assert (line["tenant_id"], line["action"], line["outcome"]) == (None, "replay_relay", "done")
    assert line["asked"] == {
        "key": "k", "first_at": "2026-01-01T00:00:00+00:00", "login": login(),
    }  # fmt: skip
    assert await pool.fetchval("SELECT count(*) FROM relay_commands") == 1


async def test_what_is_no_transaction_is_signed_for_before_and_after(
    pool: asyncpg.Pool[asyncpg.Record], tmp_path: Path
) -> None:
    """Also when it fails."""
    await pool.execute("INSERT INTO relay_sinks (sink, slot) VALUES ('redis', '')")
    await done("relay", "drop", "--sink", "redis", "--yes", *_SIGNED)
    assert (await payments("relay", "drop", "--sink", "redis", "--yes")).exit_code == 1
    await done("archive", "--before", "2020-01-01", "--to", tmp_path)
    found = await lines()
    assert [(line["action"], line["outcome"]) for line in found] == [
        ("drop_relay", "asked"), ("drop_relay", "done"),
        ("drop_relay", "asked"), ("drop_relay", "failed"),
        ("archive", "asked"), ("archive", "done"),
    ]  # fmt: skip
    calls = [line["request_id"] for line in found]
    assert calls[::2] == calls[1::2]
    assert len({*calls}) == 3


async def test_what_is_broken_off_is_written_down_as_failed(
    pool: asyncpg.Pool[asyncpg.Record],
) -> None:
    """Whoever presses Ctrl-C is told nothing, and so the log is."""
    signature = Signer("ann", "").signature("archive", "/history")

    async def worked() -> None:
        async with opened("archive") as connected, noted(connected, signature):
            begun.set()
            await asyncio.Event().wait()

    begun = asyncio.Event()
    work = asyncio.create_task(worked())
    await begun.wait()
    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await work
    outcomes = await pool.fetch("SELECT outcome FROM audit_log ORDER BY id")
    assert [row["outcome"] for row in outcomes] == ["asked", "failed"]


async def test_a_migration_is_signed_for_where_there_is_a_log(
    empty_database: DatabaseAddress, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Taken back, that it was asked is what stays; the release before finds it in nobody's list."""
    monkeypatch.setenv("PAYMENTS_DATABASE_DATABASE", empty_database.database)
    await done("migrate", "up")
    await done("migrate", "up")
    since = [step.label for step in read_migrations() if step.version >= _LOG_LEARNT_IN]
    for _ in since:
        await done("migrate", "down", "--yes", *_SIGNED)
    await done("migrate", "up")
    later = [("migrate_down", "asked"), ("migrate_down", "done")] * (len(since) - 1)
    assert [line[1:] for line in await said()] == [
        ("migrate_up", "done"), *later, ("migrate_down", "asked"), ("migrate_up", "done"),
    ]  # fmt: skip
    first, *_, again = await lines()
    assert first["asked"] == {"applied": [step.label for step in read_migrations()]}
    assert again["asked"] == {"applied": since}


async def test_a_break_is_signed_for_once(pool: asyncpg.Pool[asyncpg.Record]) -> None:
    """Whoever comes second changes nothing."""
    break_id = uuid.uuid4()
    await pool.execute(
        """
        INSERT INTO reconciliation_breaks (
            id, tenant_id, provider, type, kind, state, began_at, occurred_at, first_found_at,
            last_found_at
        ) VALUES ($1, 'acme', 'stripe', 'missing_here', 'charge', 'open', now(), now(), now(),
            now())
        """,
        break_id,
    )
    await done("reconcile", "resolve", break_id, *_SIGNED)
    await done("reconcile", "resolve", break_id, *_SIGNED)
    assert (await payments("reconcile", "resolve", uuid.uuid4(), *_SIGNED)).exit_code == 1
    assert await said() == [
        (_ACME, "resolve_break", "done"),
        (_ACME, "resolve_break", "already_resolved"),
        (None, "resolve_break", "break_not_found"),
    ]


async def test_a_run_over_a_report_is_signed_for_as_nobodys(tmp_path: Path) -> None:
    """It serves all tenants."""
    report = tmp_path / "report.csv"
    report.write_text("kind,reference,payment_id,refund_id,amount,currency,status,occurred_at\n")
    period = ("--from", "2026-01-01", "--to", "2026-01-02")
    await done("reconcile", "--provider", "stripe", "--report", report, *period)
    (line,) = await lines()
    assert (line["tenant_id"], line["target"]) == (None, "/reconciliation/stripe")


async def test_the_list_is_of_whom_and_what_one_asks_for(committer: GroupCommitter) -> None:
    """The newest first, and as a table, too."""
    await done("dlq", "redrive", await _parked(committer), *_SIGNED)
    await done("dlq", "discard", await _parked(committer, "other"), "--reason", "noise")
    soon = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    for options, found in (
        ((), ["discard_dead_letter", "redrive_dead_letter"]),
        (("--limit", 1), ["discard_dead_letter"]),
        (("--actor", "ann"), ["redrive_dead_letter"]),
        (("--action", "discard_dead_letter"), ["discard_dead_letter"]),
        (("--tenant", _ACME), ["redrive_dead_letter"]),
        (("--since", "2026-01-01"), ["discard_dead_letter", "redrive_dead_letter"]),
        (("--since", soon), []),
    ):  # fmt: skip
        listed = (await done("audit", "--json", *options)).splitlines()
        assert [json.loads(line)["action"] for line in listed] == found, options
    assert "noise" in await done("audit")


@pytest.mark.parametrize("actor", ["", " ", b"\xff".decode(errors="surrogateescape")])
async def test_nobody_signs_for_nothing(actor: str) -> None:
    """A mistake in the words, and not a trace of a stack."""
    refused = await payments("keys", "revoke", "x", "--actor", actor)
    assert (refused.exit_code, await lines()) == (2, [])


async def test_a_schema_from_before_is_one_sentence(
    empty_database: DatabaseAddress, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And nothing is done that nobody can be held to."""
    monkeypatch.setenv("PAYMENTS_DATABASE_DATABASE", empty_database.database)
    await done("migrate", "up")
    connection = await connect_single(empty_database, application_name="test")
    while await migrate_down(connection, read_migrations()) != read_migrations()[26]:
        pass
    await connection.execute("ALTER TABLE audit_log DROP COLUMN about_tenant_id")
    refused = await payments("keys", "create", "--tenant", _ACME, "--name", "shop")
    assert (refused.exit_code, "run `payments migrate up`" in refused.output) == (1, True)
    assert await connection.fetchval("SELECT count(*) FROM api_keys") == 0
    await connection.close()


# They look, or begin what others then ask of it.
_CHANGE_NOTHING = {
    "asyncapi", "audit", "demo", "disputes list", "dlq list", "dlq show", "keys list", "lag",
    "ledger export", "ledger verify", "migrate status", "openapi", "reconcile list",
    "relay set-aside", "relay status", "run", "status", "tail", "verify", "webhooks attempts",
    "webhooks list",
}  # fmt: skip


def _commands(group: click.Group, path: tuple[str, ...] = ()) -> dict[str, click.Command]:
    found: dict[str, click.Command] = {}
    for name in group.list_commands(click.Context(group)):
        command = group.get_command(click.Context(group), name)
        assert command is not None
        if isinstance(command, click.Group):
            found |= _commands(command, (*path, name))
        if not isinstance(command, click.Group) or command.invoke_without_command:
            found[" ".join((*path, name))] = command
    return found


def test_every_command_that_changes_something_is_signed() -> None:
    """A new one takes a name and a reason, or is said to change nothing."""
    assert isinstance(main, click.Group)
    unsigned = {
        name
        for name, command in _commands(main).items()
        if not {"actor", "reason"} <= {option.name for option in command.params}
    }
    assert unsigned == _CHANGE_NOTHING
