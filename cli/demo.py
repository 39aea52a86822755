"""`payments demo`: a gentle stream of mixed payments, so that there is something to look at."""

import asyncio
from functools import partial
from random import Random

import click

from local.traffic import send
from process.lifecycle import leave, told_to_stop
from telemetry import logging as telemetry_logging


@click.command("demo")
@click.option("--url", default="http://127.0.0.1:8080", show_default=True, help="The API.")
@click.option("--rate", default=2.0, show_default=True, help="Payments per second, about.")
@click.option("--seed", default=1, show_default=True, help="Of the random mix.")
def demo(*, url: str, rate: float, seed: int) -> None:
    """Send mixed payments until Ctrl-C."""
    telemetry_logging.configure("info", "demo")
    asyncio.run(_until_stopped(url, rate, Random(seed)))  # noqa: S311 # a mix, not a secret


async def _until_stopped(url: str, rate: float, random: Random) -> None:
    stop = asyncio.Event()
    told_to_stop(stop.set, again=partial(leave, 1))
    await send(url, rate, random, stop)
