"""What Faust is told of TLS and SASL: the same as every other client, in its own words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from faust.auth import OAuthCredentials, SASLCredentials, SSLCredentials

from process.addresses import KafkaAddress, SaslClient, SaslPassword, SaslToken
from topics.kafka_security import TokenFile
from topics.token_endpoint import TokenEndpoint

if TYPE_CHECKING:
    from faust.types.auth import CredentialsT


def credentials(address: KafkaAddress) -> CredentialsT | None:
    """None for a cluster that asks for nothing."""
    context = None if address.tls is None else address.tls.context()
    match address.sasl:
        case SaslPassword(mechanism, user, password):
            return SASLCredentials(
                mechanism=mechanism, username=user, password=password, ssl_context=context
            )
        case SaslToken(file):
            return OAuthCredentials(oauth_cb=TokenFile(file), ssl_context=context)
        case SaslClient() as client:
            return OAuthCredentials(oauth_cb=TokenEndpoint(client), ssl_context=context)
        case None:
            return None if context is None else SSLCredentials(context)
