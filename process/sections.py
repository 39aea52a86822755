"""What a section of the settings is made of: one frozen class, a field a variable.

Each field names its variable in full, so that a search for the variable finds its type, default
and unit; of a secret it may be that name with `_FILE`. Durations are written as Go writes them
(`15s`, `1m30s`, `500ms`) and held as seconds. Secrets never appear in a repr or in an error.
"""

import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, ClassVar, Final

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict


class Section(BaseSettings):
    """An empty variable counts as unset, as compose files and CI systems write them.

    A secret may stand in a file, as orchestrators mount it: `X_FILE` names the file of `X`.
    """

    model_config = SettingsConfigDict(frozen=True, env_ignore_empty=True, hide_input_in_errors=True)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Of pydantic's, those of the environment; and its files."""
        del dotenv_settings, file_secret_settings
        return init_settings, env_settings, SecretFiles(settings_cls)


class UnusableSecrets(ValueError):
    """Sentences, one for each secret that cannot be had from its file."""

    def __init__(self, sentences: list[str]) -> None:
        super().__init__(" ".join(sentences))
        self.sentences = sentences


class SecretFiles(PydanticBaseSettingsSource):
    """Whatever is a secret, from the file that its variable with `_FILE` names."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[object, str, bool]:
        """Of one field: its value, its variable, and that it is no JSON."""
        del field_name
        variable = str(field.validation_alias)
        path = os.environ.get(f"{variable}_FILE") if field.annotation is SecretStr else None
        if not path:
            return None, variable, False
        if variable in self.current_state:
            raise ValueError(f"{variable} and {variable}_FILE are both set: which is meant?")
        try:
            # Who writes a file with an editor or a shell ends it with a new line.
            text = Path(path).read_text("utf-8").removesuffix("\n").removesuffix("\r")
        except OSError as error:
            why = error.strerror
        except UnicodeDecodeError:
            why = "it is not UTF-8"
        else:
            return text, variable, False
        raise ValueError(f"{variable}_FILE: {path} cannot be read ({why}).")

    def __call__(self) -> dict[str, object]:
        """All that are set, by their variables. Raises UnusableSecrets."""
        found: dict[str, object] = {}
        wrong = []
        for name, field in self.settings_cls.model_fields.items():
            try:
                value, variable, _ = self.get_field_value(field, name)
            except ValueError as error:
                wrong.append(str(error))
            else:
                found |= {} if value is None else {variable: value}
        if wrong:
            raise UnusableSecrets(wrong)
        return found


def complaints(section: Callable[[], object]) -> list[str]:
    """One sentence for each wrong variable, naming it and what was expected, never a secret."""
    try:
        section()
    except UnusableSecrets as error:
        return error.sentences
    except ValidationError as error:
        return [
            # What several are wrong in together begins with their names itself.
            "".join(f"{name}: " for name in problem["loc"][:1])
            + f"{problem['msg'].removeprefix('Value error, ')}."
            for problem in error.errors()
        ]
    return []


def parse_duration(text: str) -> float:
    """Seconds of a duration in Go's notation (https://pkg.go.dev/time#ParseDuration).

    Negative durations and numbers without a unit (but `0`) are refused with `ValueError`.
    """
    if text == "0":
        return 0.0
    parts = list(_DURATION_PART.finditer(text))
    if not parts or "".join(part[0] for part in parts) != text:
        message = f"{text!r} is not a duration like 15s, 1m30s or 500ms"
        raise ValueError(message)
    return sum(float(part[1]) * _UNIT_SECONDS[part[2]] for part in parts)


_UNIT_SECONDS: Final = {
    "ns": 1e-9,
    "us": 1e-6,
    "\N{MICRO SIGN}s": 1e-6,
    "\N{GREEK SMALL LETTER MU}s": 1e-6,  # Go takes both
    "ms": 1e-3,
    "s": 1.0,
    "m": 60.0,
    "h": 3600.0,
}
_DURATION_PART: Final = re.compile(
    r"(\d+\.?\d*|\.\d+)(" + "|".join(sorted(_UNIT_SECONDS, key=len, reverse=True)) + ")", re.ASCII
)


def _seconds(value: object) -> object:
    return parse_duration(value) if isinstance(value, str) else value


Seconds = Annotated[float, Field(gt=0), BeforeValidator(_seconds)]
SecondsOrZero = Annotated[float, Field(ge=0), BeforeValidator(_seconds)]


def _no_service_link(value: object) -> object:
    """Kubernetes tells each pod of each Service in variables named after the Service."""
    if isinstance(value, str) and value.startswith(("tcp://", "udp://", "sctp://")):
        raise ValueError(
            f"{value} is a service link, which Kubernetes sets for a Service of that name; set "
            "enableServiceLinks: false in the pod's spec, or give the Service another name"
        )
    return value


Port = Annotated[int, Field(ge=1, le=65535), BeforeValidator(_no_service_link)]


def _readable(path: Path) -> Path:
    try:
        path.open("rb").close()
    except OSError as error:
        raise ValueError(f"{path} cannot be read ({error.strerror})") from None
    return path


ReadableFile = Annotated[Path, AfterValidator(_readable)]


def refuse_what_has_no_use(section: Section, begins: str, why: str) -> None:
    """Who sets a password or an authority means to be safe: to ignore it would leave all open."""
    for name, described in type(section).model_fields.items():
        if name.startswith(begins) and getattr(section, name) != described.default:
            raise ValueError(f"{described.validation_alias} has no use {why}")


class ProviderSection(Section):
    """What the settings of every payment provider have: where it is, and how it is simulated.

    `simulated` are variables, beside the base URL's, with values the simulator takes, and
    `simulated_webhooks` those that make it send webhooks.
    """

    simulated: ClassVar[Mapping[str, str]]
    simulated_webhooks: ClassVar[Mapping[str, str]] = MappingProxyType({})

    base_url: str
    timeout_seconds: Seconds

    @property
    def webhook_key(self) -> str:
        """What tells the provider's webhooks from others'; empty: none are taken."""
        return ""

    @property
    def credentials(self) -> str:
        """By which the provider knows who asks, as one text; empty: it takes everybody."""
        return ""

    @classmethod
    def simulated_credentials(cls) -> str:
        """Those that everybody knows."""
        return cls.model_validate({**cls.simulated}).credentials

    @classmethod
    def leading_to_simulator(cls, address: str, given: Mapping[str, str]) -> dict[str, str]:
        """The variables by which the simulator at an address is asked, with all it needs."""
        base_url = str(cls.model_fields["base_url"].validation_alias)
        known = {each: key for each, key in cls.simulated.items() if f"{each}_FILE" not in given}
        variables = {base_url: address, **known}
        # A secret everybody knows is for the simulator only: a vendor's webhooks need their own.
        return variables if given.get(base_url) else {**variables, **cls.simulated_webhooks}
