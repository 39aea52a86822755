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
    SaslClient,
    SaslPassword,
    SaslToken,
    Tls,
    TlsRefused,
    refuse_alert,
)
from process.probing import answered, speaks_tls
from topics.token_endpoint import TokenEndpoint

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


# ApiVersions 0, which is answered to whoever asks: its number, its version, what it is called here,
# and nobody's name. The answer begins with its length and with what it was called.
_ASKED: Final = b"tls?"
_ASKING_VERSIONS: Final = (10).to_bytes(4) + b"\x00\x12\x00\x00" + _ASKED + b"\xff\xff"
_ANSWER_HEAD: Final = 8


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
            options |= _oauth(TokenFile(file))
        case SaslClient() as client:
            options |= _oauth(TokenEndpoint(client))
        case None:
            pass
    return options | {"security_protocol": security_protocol(address)}


def _oauth(provider: AbstractTokenProvider) -> dict[str, object]:
    return {"sasl_mechanism": "OAUTHBEARER", "sasl_oauth_token_provider": provider}


def security_protocol(address: KafkaAddress) -> str:
    """In Kafka's words."""
    transport = "PLAINTEXT" if address.tls is None else "SSL"
    return transport if address.sasl is None else f"SASL_{transport}"


async def connection(address: KafkaAddress, client_id: str) -> AIOKafkaConnection:
    """To the first broker that answers, authenticated. Raises ConnectionError, or REFUSED."""
    refusals = []
    for host, port in address.servers:
        try:
            return await connection_to((host, port), address, client_id)
        except REFUSED:
            raise
        except (KafkaError, OSError) as error:  # a timeout is one
            await _refuse_what_is_spoken(host, port, address.tls)
            refusals.append(f"{host}:{port}: {error!r}")
    raise ConnectionError(f"no broker answers ({'; '.join(refusals)})")


async def connection_to(
    broker: tuple[str, int], address: KafkaAddress, client_id: str
) -> AIOKafkaConnection:
    """To this one, as to any of its cluster. Raises aiokafka's `KafkaError`, or OSError."""
    async with asyncio.timeout(_CONNECT_SECONDS_MAX):
        opened = await create_conn(*broker, client_id=client_id, **secured(address))
        if isinstance(address.sasl, SaslToken | SaslClient):
            await _refuse_token(opened)
        return opened


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


async def _refuse_what_is_spoken(host: str, port: int, tls: Tls | None) -> None:
    """Raise TlsRefused where it is TLS that keeps us out, or that we do without it."""
    if tls is not None:
        await _refuse_alert(host, port, tls)
        if (await answered(host, port, _ASKING_VERSIONS, _ANSWER_HEAD)).endswith(_ASKED):
            raise TlsRefused(f"{host}:{port} does not speak TLS")
    elif await speaks_tls(host, port):
        raise TlsRefused(f"{host}:{port} speaks TLS, and we are told to do without")


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
