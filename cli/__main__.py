"""The `payments` command: one subcommand a module, imported when it is called.

Commands other than `run` find the embedded servers of a run in this folder by themselves, unless
the environment or `.env` names servers.
"""

import os
import sys
from importlib import import_module
from typing import Final

import click

from process.env_file import take_env_file

# name -> "module:attribute"; a new subcommand is one line here.
_COMMANDS: Final = {
    "archive": "cli.archive:archive",
    "asyncapi": "cli.asyncapi:asyncapi",
    "audit": "cli.audit:audit",
    "demo": "cli.demo:demo",
    "disputes": "cli.disputes:disputes",
    "dlq": "cli.dlq:dlq",
    "failover": "cli.failover:failover",
    "keys": "cli.keys:keys",
    "lag": "cli.lag:lag",
    "ledger": "cli.ledger:ledger",
    "migrate": "cli.migrate:migrate",
    "observe": "cli.observe:observe",
    "openapi": "cli.openapi:openapi",
    "reconcile": "cli.reconcile:reconcile",
    "relay": "cli.relay:relay",
    "resolve": "cli.resolve:resolve",
    "run": "cli.run:run",
    "status": "cli.status:status",
    "tail": "cli.tail:tail",
    "verify": "cli.verify:verify",
    "webhooks": "cli.webhooks:webhooks",
}


# They live until they are told to stop, and may be told so before they are imported.
_UNTIL_TOLD: Final = ("demo", "run")


class _Commands(click.Group):
    """Knows every name, imports only what is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 # click's signature
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 # click's signature
        if cmd_name not in _COMMANDS:
            return None
        module, attribute = _COMMANDS[cmd_name].split(":")
        command = getattr(import_module(module), attribute)
        assert isinstance(command, click.Command)
        return command


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.pass_context
def main(context: click.Context) -> None:
    """A payments platform: run it, look at it, mend it."""
    # What is wrong with it is said by whoever reads the settings.
    take_env_file(os.environ)
    if context.invoked_subcommand != "run":
        from local.run_record import variables_of_run  # noqa: PLC0415 # `run` starts sooner without it

        os.environ.update(variables_of_run(os.environ))


def run_process() -> None:
    """What `payments` and `python -m cli` run: a process of its own, which the signals are for."""
    if sys.argv[1:2] and sys.argv[1] in _UNTIL_TOLD:
        import_module("process.starting")
    main(prog_name="payments")


if __name__ == "__main__":
    run_process()
