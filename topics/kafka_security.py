"""What every client of Kafka is told of TLS and SASL, and why a broker would not have us.

aiokafka keeps to itself why it could not begin: it logs the reason and says that no broker can be
reached. So whoever wants to know asks again, on a connection of its own.
"""

import asyncio
import ssl
from contextlib import suppress
from pathlib import Path
from typing import Final

from aiokafka.abc import AbstractTokenProvider
from aiokafka.conn import AIOKafkaConnection, create_conn
from aiokafka.errors import (
    ClusterAuthorizationFailedError,
    GroupAuthorizationFailedError,
    IllegalSaslStateError,
    KafkaError,
    SaslAuthenticationFailed,
    TopicAuthorizationFailedError,
    TransactionalIdAuthorizationFailed,
    UnsupportedSaslMechanismError,
)
from aiokafka.protocol.metadata import MetadataRequest

from process.addresses import (
    TLS_REFUSED,
    KafkaAddress,
    SaslPassword,
    SaslToken,
    Tls,
    refuse_alert,
)

# What neither waiting nor another broker of the cluster mends.
REFUSED: Final = (
    *TLS_REFUSED,
    SaslAuthenticationFailed,
    UnsupportedSaslMechanismError,
    IllegalSaslStateError,
    ClusterAuthorizationFailedError,
    GroupAuthorizationFailedError,
    TopicAuthorizationFailedError,
    TransactionalIdAuthorizationFailed,
)
_CONNECT_SECONDS_MAX: Final = 5.0
_HANG_UP_SECONDS_MAX: Final = 1.0
# It is on its way when the connection ends.
_ALERT_SECONDS_MAX: Final = 1.0


class TokenFile(AbstractTokenProvider):  # type: ignore[misc]  # aiokafka is untyped
    """The token of the moment: read anew for each connection."""

    def __init__(self, file: Path) -> None:
        self._file = file

    async def token(self) -> str:
        return (await asyncio.to_thread(self._file.read_text, "utf-8")).strip()


def secured(address: KafkaAddress) -> dict[str, object]:
    """What aiokafka's clients take; nothing for a cluster that asks for nothing."""
    options: dict[str, object] = {}
    if address.tls is not None:
        options["ssl_context"] = address.tls.context()
    match address.sasl:
        case SaslPassword(mechanism, user, password):
            options |= {
                "sasl_mechanism": mechanism,
                "sasl_plain_username": user,
                "sasl_plain_password": password,
            }
        case SaslToken(file):
            options |= {
                "sasl_mechanism": "OAUTHBEARER",
                "sasl_oauth_token_provider": TokenFile(file),
            }
        case None:
            pass
    return options | {"security_protocol": security_protocol(address)}


def security_protocol(address: KafkaAddress) -> str:
    """In Kafka's words."""
    transport = "PLAINTEXT" if address.tls is None else "SSL"
    return transport if address.sasl is None else f"SASL_{transport}"


async def connection(address: KafkaAddress, client_id: str) -> AIOKafkaConnection:
    """To the first broker that answers, authenticated. Raises ConnectionError, or REFUSED."""
    refusals = []
    for host, port in address.servers:
        try:
            async with asyncio.timeout(_CONNECT_SECONDS_MAX):
                opened = await create_conn(host, port, client_id=client_id, **secured(address))
                if isinstance(address.sasl, SaslToken):
                    await _refuse_token(opened)
                return opened
        except REFUSED:
            raise
        except (KafkaError, OSError) as error:  # a timeout is one
            if address.tls is not None:
                await _refuse_alert(host, port, address.tls)
            refusals.append(f"{host}:{port}: {error!r}")
    raise ConnectionError(f"no broker answers ({'; '.join(refusals)})")


async def hang_up(opened: AIOKafkaConnection) -> None:
    """Until it is gone, for as long as that may take: it must not outlive its event loop."""
    with suppress(TimeoutError):
        async with asyncio.timeout(_HANG_UP_SECONDS_MAX):
            await opened.close()


async def _refuse_token(opened: AIOKafkaConnection) -> None:
    """Raise if it was not taken: aiokafka does not read what a broker answers to a token."""
    try:
        is_in = bool((await opened.send(MetadataRequest([]))).brokers)
    except KafkaError:
        is_in = False
    if not is_in:
        await hang_up(opened)
        raise SaslAuthenticationFailed("the token is not taken")


async def _refuse_alert(host: str, port: int, tls: Tls) -> None:
    """Raise TlsRefused for what TLS says of us; with TLS 1.3 only after the handshake."""
    try:
        async with asyncio.timeout(_ALERT_SECONDS_MAX):
            reader, writer = await asyncio.open_connection(host, port, ssl=tls.context())
            try:
                await reader.read(1)
            finally:
                writer.close()
                await writer.wait_closed()
    except ssl.SSLError as error:
        refuse_alert(error)
    except OSError:  # a timeout is one: then it is not TLS that keeps us out
        return
