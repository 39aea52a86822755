"""`payments asyncapi`: the AsyncAPI document of the topics, and their values' JSON Schemas."""

import json
from pathlib import Path

import click

from providers.registry import NAMES
from topics.asyncapi import document
from topics.contracts.schema_files import IncompatibleSchema, write


@click.command("asyncapi")
@click.option(
    "--schemas",
    type=click.Path(file_okay=False, path_type=Path),
    help="Write the payloads' JSON Schemas into this folder instead, one file a version.",
)
def asyncapi(*, schemas: Path | None) -> None:
    """Print the topics' AsyncAPI 3 document."""
    if schemas is None:
        click.echo(json.dumps(document(NAMES), indent=2))
        return
    try:
        written = write(schemas, NAMES)
    except IncompatibleSchema as error:
        raise click.ClickException(str(error)) from error
    for path in written:
        click.echo(path)
