"""What every section of the settings has whose process listens for clients.

TLS of its own, where no proxy has it, and which proxies are believed who a client is.
"""

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, SecretStr, model_validator

from process.clients import Proxies, ProxyHeader, networks_of
from process.listening import ServerTls
from process.sections import ReadableFile, Section, refuse_what_has_no_use


def _networks(text: str) -> str:
    try:
        networks_of(text)
    except ValueError as error:
        raise ValueError(
            f"expected networks such as 10.0.0.0/8, and commas between several ({error})"
        ) from None
    return text


Networks = Annotated[str, AfterValidator(_networks)]
ClientCertificates = Literal["required", "optional"]


class EntranceSection(Section):
    """Each names the variable of every field itself."""

    ssl_certificate_file: ReadableFile | None
    ssl_key_file: ReadableFile | None
    ssl_key_password: SecretStr
    ssl_client_ca_file: ReadableFile | None
    ssl_client_certificates: ClientCertificates
    trusted_proxies: Networks
    proxy_header: ProxyHeader

    @model_validator(mode="after")
    def _is_one_way_to_be_reached(self) -> Self:
        variable = str(type(self).model_fields["ssl_certificate_file"].validation_alias)
        tls = self.tls()
        if tls is None:
            refuse_what_has_no_use(self, "ssl_", f"without {variable}")
            return self
        prefix = variable.removesuffix("_SSL_CERTIFICATE_FILE")
        if self.ssl_client_ca_file is None:
            refuse_what_has_no_use(self, "ssl_client_", f"without {prefix}_SSL_CLIENT_CA_FILE")
        try:
            tls.context()
        except OSError as error:
            raise ValueError(f"what {prefix}_SSL_* name cannot be used ({error})") from None
        return self

    def tls(self) -> ServerTls | None:
        """None for plain HTTP."""
        if self.ssl_certificate_file is None:
            return None
        return ServerTls(
            self.ssl_certificate_file,
            self.ssl_key_file,
            self.ssl_key_password.get_secret_value(),
            self.ssl_client_ca_file,
            self.ssl_client_certificates == "required",
        )

    def proxies(self) -> Proxies:
        return Proxies(networks_of(self.trusted_proxies), self.proxy_header)
