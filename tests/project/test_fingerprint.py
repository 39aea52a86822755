"""The code keeps the shape its readers were promised: short modules and functions, few escapes."""

import statistics
from pathlib import Path

import pytest

from tests.support.project.fingerprint import Fingerprint, measure, percentile, python_files
from tests.support.project.tree import PACKAGES, ROOT

MODULE_LINES_MEDIAN_MAX = 120
MODULE_LINES_P90_MAX = 350
MODULE_LINES_MAX = 500
FUNCTION_LINES_MEDIAN_MAX = 8
FUNCTION_LINES_P90_MAX = 25
FUNCTION_LINES_MAX = 60
ARGUMENTS_P90_MAX = 4
ANY_PER_THOUSAND_LINES_MAX = 3
BROAD_EXCEPT_PER_THOUSAND_LINES_MAX = 1
CONFTEST_LINES_MAX = 60


@pytest.fixture(scope="module")
def code() -> Fingerprint:
    return measure(python_files(*PACKAGES))


@pytest.fixture(scope="module")
def tests() -> Fingerprint:
    return measure(python_files("tests"))


def test_modules_are_short(code: Fingerprint) -> None:
    """Half of all modules fit two screens, nine of ten a long scroll."""
    lengths = list(code.modules.values())
    assert statistics.median(lengths) <= MODULE_LINES_MEDIAN_MAX
    assert percentile(lengths, 0.9) <= MODULE_LINES_P90_MAX


def test_no_module_is_long(code: Fingerprint, tests: Fingerprint) -> None:
    """No module, of a test neither, has more than 500 lines."""
    modules = code.modules | tests.modules
    assert {name: lines for name, lines in modules.items() if lines > MODULE_LINES_MAX} == {}


def test_functions_are_short(code: Fingerprint) -> None:
    """Half of all functions are a few lines, nine of ten fit a glance."""
    lengths = [function.lines for function in code.functions]
    assert statistics.median(lengths) <= FUNCTION_LINES_MEDIAN_MAX
    assert percentile(lengths, 0.9) <= FUNCTION_LINES_P90_MAX


def test_no_function_is_long(code: Fingerprint, tests: Fingerprint) -> None:
    """No function, of a test neither, has more than 60 lines."""
    functions = code.functions + tests.functions
    assert [function for function in functions if function.lines > FUNCTION_LINES_MAX] == []


def test_functions_take_few_arguments(code: Fingerprint) -> None:
    """Nine of ten functions take four arguments or fewer."""
    assert percentile([f.arguments for f in code.functions], 0.9) <= ARGUMENTS_P90_MAX


def test_escapes_from_the_type_checker_are_rare(code: Fingerprint) -> None:
    """`Any` is an argued exception, not a habit."""
    assert code.per_thousand_lines(code.any_count) <= ANY_PER_THOUSAND_LINES_MAX


def test_broad_excepts_are_rare(code: Fingerprint) -> None:
    """Catching everything is an argued exception, not a habit."""
    rate = code.per_thousand_lines(code.broad_except_count)
    assert rate <= BROAD_EXCEPT_PER_THOUSAND_LINES_MAX


def test_a_conftest_only_gathers_fixtures() -> None:
    """Fixtures live in modules by resource; a conftest stays below 60 lines."""
    lengths = {
        str(path.relative_to(ROOT)): len(path.read_text().splitlines())
        for path in python_files("tests")
        if path.name == "conftest.py"
    }
    assert {name: lines for name, lines in lengths.items() if lines >= CONFTEST_LINES_MAX} == {}


def test_what_is_measured_is_what_is_written(tmp_path: Path) -> None:
    """A function's lines, its arguments without self, each Any and each broad except count."""
    source = tmp_path / "sample.py"
    source.write_text(
        "from typing import Any\n"
        "class Sample:\n"
        "    def method(self, one: Any, *, two: int) -> None:\n"
        "        try:\n"
        "            print(one, two)\n"
        "        except (ValueError, Exception):\n"
        "            raise\n"
        "        except OSError:\n"
        "            raise\n"
    )
    figures = measure([source])
    assert figures.modules == {str(source): 9}
    assert [(f.lines, f.arguments) for f in figures.functions] == [(7, 2)]
    assert (figures.any_count, figures.broad_except_count) == (1, 1)
    assert [percentile(range(1, 11), share) for share in (0.5, 0.9, 1.0)] == [5, 9, 10]
