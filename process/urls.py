"""A server's URL, which says in one variable what its parts say in several."""

from collections.abc import Callable, Mapping

from pydantic import SecretStr

from process.sections import Section


class UnknownInUrl(ValueError):
    """What is wrong with a URL, in words that hold nothing of it that is secret."""


def with_parts_of_url(
    section: type[Section],
    given: dict[str, object],
    parts_of: Callable[[str], Mapping[str, str]],
) -> dict[str, object]:
    """What is given by variable, and what the URL among it says of the others.

    Raises ValueError where it cannot be read, or says something else than a variable that is set.
    """
    variable = str(section.model_fields["url"].validation_alias)
    url = _text(given.get(variable, ""))
    if not url:
        return given
    try:
        parts = parts_of(url)
    except UnknownInUrl as error:
        raise ValueError(f"{variable} {error}") from None
    except ValueError:  # whose words would repeat what they stumbled over: a password, as a rule
        raise ValueError(
            f"{variable} is no URL: in a user or password, write what is neither letter nor digit "
            "as %XX"
        ) from None
    for field in section.model_fields.values():
        name = str(field.validation_alias)
        said = _text(given.get(name, field.default))
        if name in parts and said not in {parts[name], _text(field.default)}:
            raise ValueError(f"{variable} and {name} are both set, and do not say the same")
    return {**given, **parts}


def _text(value: object) -> str:
    return value.get_secret_value() if isinstance(value, SecretStr) else str(value)
