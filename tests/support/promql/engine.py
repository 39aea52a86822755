"""What an expression comes to at the last of some scrapes, by the rules of Prometheus.

Source of the rules: https://prometheus.io/docs/prometheus/latest/querying/ and, for `rate` and
`histogram_quantile`, promql/functions.go and promql/quantile.go of Prometheus 2.
"""

from __future__ import annotations

import math
import operator
from itertools import pairwise
from typing import TYPE_CHECKING, Final, TypeAlias

from tests.support.promql.expressions import (
    Aggregation,
    Binary,
    Call,
    Expression,
    Number,
    Selector,
    Unsupported,
    parsed,
)
from tests.support.promql.scrapes import NAME

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tests.support.promql.scrapes import Scrapes, Series

Vector: TypeAlias = "dict[Series, float]"

_ARITHMETIC: Final[Mapping[str, Callable[[float, float], float]]] = {
    "-": operator.sub,
    "*": operator.mul,
    "/": lambda left, right: left / right if right else _by_nothing(left),
}
_COMPARISONS: Final[Mapping[str, Callable[[float, float], bool]]] = {
    "==": operator.eq,
    ">": operator.gt,
    "<": operator.lt,
}
# A gap between two samples that is taken for an ordinary one.
_GAP_MAX: Final = 1.1


def evaluate(text: str, scrapes: Scrapes) -> Vector:
    """The vector that the expression is; empty where it finds, or lets through, nothing."""
    found = _evaluate(parsed(text), scrapes)
    if not isinstance(found, dict):
        raise Unsupported(f"a number: {text}")
    return found


def _evaluate(tree: Expression, scrapes: Scrapes) -> Vector | float:
    match tree:
        case Number(value):
            return value
        case Selector(range_s=None):
            return scrapes.instant(tree)
        case Selector():
            raise Unsupported(f"a range for itself: {tree.name}")
        case Call():
            return _called(tree, scrapes)
        case Aggregation():
            return _aggregated(tree, _vector(tree.argument, scrapes))
        case Binary(_, left, right):
            return _combined(tree, _evaluate(left, scrapes), _evaluate(right, scrapes))


def _vector(tree: Expression, scrapes: Scrapes) -> Vector:
    found = _evaluate(tree, scrapes)
    if not isinstance(found, dict):
        raise Unsupported(f"a number for a vector: {tree}")
    return found


def _called(call: Call, scrapes: Scrapes) -> Vector:
    match call.function, call.arguments:
        case ("rate" | "increase") as function, (Selector(range_s=int(range_s)) as selector,):
            now = scrapes.last_at or 0.0
            grown = {
                _nameless(one): _grown(points, now, range_s)
                for one, points in scrapes.points(selector, now - range_s).items()
                if len(points) > 1
            }
            per = range_s if function == "rate" else 1
            return {one: by / per for one, by in grown.items()}
        case "histogram_quantile", (Number(quantile), buckets):
            return _quantiles(quantile, _vector(buckets, scrapes))
        case "vector", (Number(value),):
            return {frozenset(): value}
        case "absent", (Selector(matchers=matchers) as selector,):
            named = {(each.label, each.value) for each in matchers if each.operator == "="}
            return {} if scrapes.instant(selector) else {frozenset(named): 1.0}
        case _:
            raise Unsupported(f"{call}")


def _grown(points: list[tuple[float, float]], now: float, range_s: int) -> float:
    """By how much a counter grew, its restarts counted, carried on to the ends of the range."""
    values = [value for _, value in points]
    (first_at, first), (last_at, last) = points[0], points[-1]
    grown = last - first + sum(before for before, after in pairwise(values) if after < before)
    covered = last_at - first_at
    usual = covered / (len(points) - 1)
    before = first_at - (now - range_s)
    if grown > 0 and first >= 0:
        # A counter was never below zero.
        before = min(before, covered * first / grown)
    ends = sum(gap if gap < usual * _GAP_MAX else usual / 2 for gap in (before, now - last_at))
    return grown * (covered + ends) / covered


def _quantiles(quantile: float, buckets: Vector) -> Vector:
    by_series: dict[Series, list[tuple[float, float]]] = {}
    for one, count in buckets.items():
        bound = dict(one).get("le")
        if bound is not None:
            rest = frozenset(each for each in _nameless(one) if each[0] != "le")
            by_series.setdefault(rest, []).append((float(bound), count))
    return {one: _quantile(quantile, sorted(found)) for one, found in by_series.items()}


def _quantile(quantile: float, buckets: list[tuple[float, float]]) -> float:
    """In seconds, as if what is in a bucket were spread evenly over it."""
    bounds = [bound for bound, _ in buckets]
    counts = [count for _, count in buckets]
    if len(buckets) < 2 or bounds[-1] != math.inf or counts[-1] == 0:
        return math.nan
    rank = quantile * counts[-1]
    at = next(index for index, count in enumerate(counts) if count >= rank)
    if at == len(buckets) - 1:
        return bounds[-2]
    below, start = (counts[at - 1], bounds[at - 1]) if at else (0.0, 0.0)
    if at == 0 and bounds[0] <= 0:
        return bounds[0]
    return start + (bounds[at] - start) * (rank - below) / (counts[at] - below)


def _aggregated(tree: Aggregation, found: Vector) -> Vector:
    groups: dict[Series, list[float]] = {}
    for one, value in found.items():
        kept = frozenset(each for each in one if each[0] in tree.by)
        groups.setdefault(kept, []).append(value)
    return {one: _folded(tree.operator, values) for one, values in groups.items()}


def _folded(aggregation: str, values: list[float]) -> float:
    known = [value for value in values if not math.isnan(value)]
    match aggregation:
        case "sum":
            return sum(values)
        case "count":
            return len(values)
        case "max":
            return max(known, default=math.nan)
        case "min":
            return min(known, default=math.nan)
        case _:
            raise Unsupported(aggregation)


def _combined(tree: Binary, left: Vector | float, right: Vector | float) -> Vector | float:
    match left, right:
        case dict(), dict() if tree.operator == "or":
            known = {_nameless(one) for one in left}
            return {**left, **{one: v for one, v in right.items() if _nameless(one) not in known}}
        case dict(), dict() if tree.operator in _ARITHMETIC:
            return _matched(_ARITHMETIC[tree.operator], left, right)
        case dict(), float() if tree.operator in _COMPARISONS:
            holds = _COMPARISONS[tree.operator]
            return {one: value for one, value in left.items() if holds(value, right)}
        case dict(), float() if tree.operator in _ARITHMETIC:
            made = _ARITHMETIC[tree.operator]
            return {_nameless(one): made(value, right) for one, value in left.items()}
        case float(), float() if tree.operator in _ARITHMETIC:
            return _ARITHMETIC[tree.operator](left, right)
        case _:
            raise Unsupported(f"{tree.operator} of these: {tree}")


def _matched(made: Callable[[float, float], float], left: Vector, right: Vector) -> Vector:
    """One to one, by all labels."""
    others = {_nameless(one): value for one, value in right.items()}
    ours = {_nameless(one): value for one, value in left.items()}
    if len(others) != len(right) or len(ours) != len(left):
        raise Unsupported("several series of one set of labels")
    return {one: made(value, others[one]) for one, value in ours.items() if one in others}


def _nameless(one: Series) -> Series:
    return frozenset(each for each in one if each[0] != NAME)


def _by_nothing(left: float) -> float:
    return math.nan if left == 0 or math.isnan(left) else math.copysign(math.inf, left)
