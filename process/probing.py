"""What is spoken at a port, asked on a connection of its own when a driver could not begin there.

A TLS client at a listener without it, and the reverse, see what a server that is away shows too: a
connection that ends. Only an answer tells them apart, so whoever asks here acts on nothing else.
"""

import asyncio
import ssl
from typing import Final

# A server that is there answers within milliseconds.
_ANSWER_SECONDS_MAX: Final = 2.0


async def speaks_tls(host: str, port: int) -> bool:
    """Whether it answers a client of TLS, be it to refuse it."""
    try:
        async with asyncio.timeout(_ANSWER_SECONDS_MAX):
            _, writer = await asyncio.open_connection(host, port, ssl=trusting())
    except ssl.SSLError as error:
        return "ALERT" in (error.reason or "")
    except OSError:  # a timeout is one
        return False
    writer.transport.abort()
    return True


async def answered(host: str, port: int, greeting: bytes, length: int) -> bytes:
    """So many bytes of what is answered to a greeting in the clear; empty if that is not much."""
    try:
        async with asyncio.timeout(_ANSWER_SECONDS_MAX):
            reader, writer = await asyncio.open_connection(host, port)
            try:
                writer.write(greeting)
                return await reader.readexactly(length)
            finally:
                writer.transport.abort()
    except (OSError, asyncio.IncompleteReadError):
        return b""


async def answered_in_tls(host: str, port: int, asking: bytes, yes: bytes, greeting: bytes) -> bool:
    """Whether it answers `yes` to `asking` in the clear, and then the greeting in TLS."""
    try:
        async with asyncio.timeout(_ANSWER_SECONDS_MAX):
            reader, writer = await asyncio.open_connection(host, port)
            try:
                writer.write(asking)
                if await reader.readexactly(len(yes)) != yes:
                    return False
                await writer.start_tls(trusting(), server_hostname=host)
                writer.write(greeting)
                return bool(await reader.read(1))
            finally:
                writer.transport.abort()
    except (OSError, asyncio.IncompleteReadError):
        return False


def trusting() -> ssl.SSLContext:
    """Of whoever it is: nothing is told that is not for all to read."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
