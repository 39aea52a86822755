"""`payments openapi`: the OpenAPI document of the ingress, as `/openapi.json` serves it."""

import json

import click

from api.contract.openapi import document
from api.routes import ROUTES
from providers.registry import NAMES


@click.command("openapi")
def openapi() -> None:
    """Print the HTTP API's OpenAPI 3.1 document."""
    click.echo(json.dumps(document(ROUTES, NAMES), indent=2))
