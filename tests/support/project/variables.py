"""Every variable there is, by the settings of all processes and of all providers."""

from process.sections import Section
from process.settings import Settings, read_settings
from providers.registry import SECTIONS


def settings() -> Settings:
    """All of them, as a process that asks every provider reads them."""
    return read_settings(SECTIONS)


def variables() -> set[str]:
    """Their names."""
    read = settings()
    ours = (getattr(read, name) for name in Settings.__dataclass_fields__)
    sections = (each for each in (*ours, *read.providers.values()) if isinstance(each, Section))
    return {str(f.validation_alias) for each in sections for f in type(each).model_fields.values()}
