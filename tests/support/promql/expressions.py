"""PromQL as our alerts and panels are written in it, read into trees; the rest is refused.

A function, an operator or a modifier that is new to them is an `Unsupported`, never a guess.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

_Part = TypeVar("_Part")

_TOKEN: Final = re.compile(
    r"""\s*(?:
        (?P<range>\[\d+[smhd]\])
      | (?P<number>\d+(?:\.\d+)?)
      | (?P<word>[a-zA-Z_:][a-zA-Z0-9_:]*)
      | (?P<text>"[^"\\]*")
      | (?P<mark>=~|!~|!=|==|>=|<=|[-+*/%^(){},=<>@\[\]])
    )""",
    re.VERBOSE,
)
_SECONDS: Final[Mapping[str, int]] = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
AGGREGATIONS: Final = frozenset({"sum", "max", "min", "count"})
# Of each its arguments: a range, a vector or a number.
FUNCTIONS: Final[Mapping[str, tuple[str, ...]]] = {
    "absent": ("vector",),
    "histogram_quantile": ("number", "vector"),
    "increase": ("range",),
    "rate": ("range",),
    "vector": ("number",),
}
# The loosest first; all of them associate to the left.
_LEVELS: Final[Sequence[frozenset[str]]] = (
    frozenset({"or"}),
    frozenset({"==", ">", "<"}),
    frozenset({"-"}),
    frozenset({"*", "/"}),
)


class Unsupported(Exception):
    """No expression of the kind that is understood here; the message says where."""


@dataclass(frozen=True, slots=True)
class Number:
    value: float


@dataclass(frozen=True, slots=True)
class Matcher:
    label: str
    operator: str
    value: str

    def matches(self, labels: Mapping[str, str]) -> bool:
        found = labels.get(self.label, "")
        if self.operator in {"=", "!="}:
            return (found == self.value) is (self.operator == "=")
        return (re.fullmatch(self.value, found) is not None) is (self.operator == "=~")


@dataclass(frozen=True, slots=True)
class Selector:
    """A metric; `range_s` are the seconds of its `[5m]`."""

    name: str
    matchers: tuple[Matcher, ...]
    range_s: int | None


@dataclass(frozen=True, slots=True)
class Call:
    function: str
    arguments: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class Aggregation:
    operator: str
    by: tuple[str, ...]
    argument: Expression


@dataclass(frozen=True, slots=True)
class Binary:
    operator: str
    left: Expression
    right: Expression


Expression: TypeAlias = "Number | Selector | Call | Aggregation | Binary"


def parsed(text: str) -> Expression:
    """The tree of an expression; raises Unsupported."""
    reader = _Reader(text, _tokens(text))
    tree = reader.binary(0)
    if reader.next is not None:
        raise Unsupported(f"{reader.next!r} in {text}")
    return tree


def _tokens(text: str) -> list[tuple[str, str]]:
    found, at, text = [], 0, text.rstrip()
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            raise Unsupported(f"{text[at:]!r} in {text}")
        kind = str(match.lastgroup)
        found.append((kind, match[kind]))
        at = match.end()
    return found


class _Reader:
    """Goes through the tokens once, from the left."""

    def __init__(self, text: str, tokens: list[tuple[str, str]]) -> None:
        self._text = text
        self._tokens = tokens
        self._at = 0

    @property
    def next(self) -> str | None:
        return self._tokens[self._at][1] if self._at < len(self._tokens) else None

    def binary(self, level: int) -> Expression:
        if level == len(_LEVELS):
            return self._single()
        left = self.binary(level + 1)
        while self.next in _LEVELS[level]:
            _, operator = self._take()
            left = Binary(operator, left, self.binary(level + 1))
        return left

    def _single(self) -> Expression:
        kind, token = self._take()
        if token == "(":
            inner = self.binary(0)
            self._take(")")
            return inner
        if kind == "number":
            return Number(float(token))
        if kind != "word":
            raise Unsupported(f"{token!r} in {self._text}")
        if token in AGGREGATIONS:
            return self._aggregation(token)
        if self.next == "(":
            return self._call(token)
        return self._selector(token)

    def _aggregation(self, operator: str) -> Aggregation:
        by: tuple[str, ...] = ()
        if self.next == "by":
            self._take()
            by = tuple(self._listed(lambda: self._take(kind="word")[1]))
        (argument,) = self._listed(lambda: self.binary(0))
        return Aggregation(operator, by, argument)

    def _call(self, function: str) -> Call:
        kinds = FUNCTIONS.get(function)
        if kinds is None:
            raise Unsupported(f"{function}() in {self._text}")
        arguments = tuple(self._listed(lambda: self.binary(0)))
        if tuple(map(_kind, arguments)) != kinds:
            raise Unsupported(f"{function}() of these in {self._text}")
        return Call(function, arguments)

    def _selector(self, name: str) -> Selector:
        matchers: list[Matcher] = []
        if self.next == "{":
            matchers = self._listed(self._matcher, "{", "}")
        range_s = None
        if self._at < len(self._tokens) and self._tokens[self._at][0] == "range":
            _, token = self._take()
            range_s = int(token[1:-2]) * _SECONDS[token[-2]]
        return Selector(name, tuple(matchers), range_s)

    def _matcher(self) -> Matcher:
        _, label = self._take(kind="word")
        _, operator = self._take()
        _, value = self._take(kind="text")
        if operator not in {"=", "!=", "=~", "!~"}:
            raise Unsupported(f"{operator!r} in {self._text}")
        return Matcher(label, operator, value[1:-1])

    def _listed(self, one: Callable[[], _Part], opens: str = "(", closes: str = ")") -> list[_Part]:
        self._take(opens)
        found = [one()]
        while self.next == ",":
            self._take()
            found.append(one())
        self._take(closes)
        return found

    def _take(self, token: str | None = None, *, kind: str | None = None) -> tuple[str, str]:
        if self._at == len(self._tokens):
            raise Unsupported(f"the end of {self._text}")
        taken = self._tokens[self._at]
        if token not in {None, taken[1]} or kind not in {None, taken[0]}:
            raise Unsupported(f"{taken[1]!r} in {self._text}")
        self._at += 1
        return taken


def _kind(argument: Expression) -> str:
    match argument:
        case Selector(range_s=int()):
            return "range"
        case Number():
            return "number"
        case _:
            return "vector"
