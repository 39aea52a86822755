"""Money is exact, keeps its currency's digits, and refuses whatever is no amount."""

from __future__ import annotations

from decimal import Decimal
from operator import add, ge, gt, le, lt, mul, sub, truediv
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from payments.currencies import EXPONENTS
from payments.money import (
    AMOUNT_MINOR_MAX,
    AmountError,
    CurrencyError,
    Money,
    exponent_of,
    format_amount,
    parse_amount,
)

if TYPE_CHECKING:
    from collections.abc import Callable

currencies = st.sampled_from(sorted(EXPONENTS))
amounts = st.integers(0, AMOUNT_MINOR_MAX)


@given(amounts, currencies)
def test_a_formatted_amount_parses_to_itself(amount_minor: int, currency: str) -> None:
    """What goes out as text comes back as the same minor units, in every currency."""
    money = Money(amount_minor, currency)
    assert parse_amount(money.decimal, currency) == money


@given(st.integers(-AMOUNT_MINOR_MAX, AMOUNT_MINOR_MAX), currencies)
def test_a_formatted_amount_is_the_exact_decimal(amount_minor: int, currency: str) -> None:
    """The text has exactly the currency's digits and the value of the minor units."""
    text = format_amount(amount_minor, currency)
    _, _, fraction = text.partition(".")
    assert len(fraction) == exponent_of(currency)
    assert Decimal(text) == Decimal(amount_minor).scaleb(-exponent_of(currency))


@given(
    st.from_regex(r"\A-?0{0,3}[0-9]{1,18}(\.[0-9]{1,5})?([eE][+-]?[0-9]{1,2})?\Z"),
    currencies,
)
def test_an_amount_is_the_decimal_it_was_written_as_or_refused(text: str, currency: str) -> None:
    """To the last digit; refused only if it is negative, too large or finer than the currency."""
    written, digits = Decimal(text), exponent_of(currency)
    _, _, power = written.as_tuple()
    assert isinstance(power, int)
    whole = power >= -digits and 0 <= written.scaleb(digits) <= AMOUNT_MINOR_MAX
    try:
        money = parse_amount(text, currency)
    except AmountError:
        assert not whole
    else:
        assert whole
        assert Decimal(money.amount_minor).scaleb(-digits) == written


@given(st.text("0123456789.eE+-,_ \n\u0661\uff11NaInfity", max_size=12), currencies)
def test_what_is_read_as_an_amount_is_written_as_one(text: str, currency: str) -> None:
    """Of any characters at all: digits, a point and an exponent, or nothing is read."""
    try:
        money = parse_amount(text, currency)
    except AmountError:
        return
    assert set(text) <= set("0123456789.eE+-")
    assert Decimal(money.amount_minor).scaleb(-exponent_of(currency)) == Decimal(text)


@given(amounts, currencies, st.integers(0, 20), st.integers(0, 9))
def test_one_amount_may_be_written_in_many_ways(
    amount_minor: int, currency: str, zeros: int, power: int
) -> None:
    """With leading zeros, as minor units with an exponent, or with the point further left."""
    digits, money = exponent_of(currency), Money(amount_minor, currency)
    left = Decimal(money.decimal).scaleb(-power)
    for text in ("0" * zeros + money.decimal, f"{amount_minor}e-{digits}", f"{left:f}E+{power}"):
        assert parse_amount(text, currency) == money


@given(amounts, currencies)
def test_a_finer_amount_is_refused_even_when_it_is_zero_finer(
    amount_minor: int, currency: str
) -> None:
    """One decimal more than the currency has is a mistake about the currency."""
    point = "" if exponent_of(currency) else "."
    with pytest.raises(AmountError, match="too many decimal places"):
        parse_amount(f"{Money(amount_minor, currency).decimal}{point}0", currency)


@given(st.lists(amounts, min_size=2, max_size=2), st.lists(currencies, min_size=2, max_size=2))
def test_money_is_equal_only_to_as_much_of_the_same_currency(
    minor: list[int], codes: list[str]
) -> None:
    """A hundred yen are not a hundred cents, though both are a hundred minor units."""
    one, other = (Money(*each) for each in zip(minor, codes, strict=True))
    assert (one == other) == (minor[0] == minor[1] and codes[0] == codes[1])
    assert (one == other) <= (hash(one) == hash(other))


@given(amounts, amounts, currencies, currencies)
@pytest.mark.parametrize("operation", [add, sub, mul, truediv, lt, le, gt, ge])
def test_money_is_neither_added_nor_ordered(
    operation: Callable[[object, object], object],
    minor: int,
    other_minor: int,
    currency: str,
    other_currency: str,
) -> None:
    """Across currencies it would be wrong: sums are the ledger's, over accounts of one currency."""
    for other in (Money(other_minor, other_currency), other_minor):
        with pytest.raises(TypeError):
            operation(Money(minor, currency), other)


@given(st.lists(amounts, max_size=50), currencies)
def test_the_sum_of_texts_is_the_sum_of_minor_units(several: list[int], currency: str) -> None:
    """Whoever adds up what we wrote gets what we added up: nothing is rounded on the way."""
    texts = [Money(minor, currency).decimal for minor in several]
    total = sum((Decimal(text) for text in texts), Decimal(0))
    assert Decimal(format_amount(sum(several), currency)) == total


@pytest.mark.parametrize(
    ("text", "currency", "amount_minor"),
    [
        ("0.1", "USD", 10),
        ("1000.00", "USD", 100_000),
        ("1e2", "USD", 10_000),
        ("1E+2", "USD", 10_000),
        ("1e-2", "USD", 1),
        ("12.50e1", "USD", 12_500),
        ("007", "USD", 700),
        ("-0", "USD", 0),
        ("0e9999", "USD", 0),
        ("100", "JPY", 100),
        ("1.500", "KWD", 1_500),
        ("9007199254740993", "JPY", None),
        ("90071992547409.93", "USD", None),
        ("9007199254740.99", "USD", 900_719_925_474_099),
        ("10000000000000", "USD", AMOUNT_MINOR_MAX),
    ],
)
def test_amounts_as_clients_write_them(text: str, currency: str, amount_minor: int | None) -> None:
    """Every notation of an amount means its minor units; above 10^15 of them it is refused."""
    if amount_minor is None:
        with pytest.raises(AmountError, match="exceeds"):
            parse_amount(text, currency)
    else:
        assert parse_amount(text, currency) == Money(amount_minor, currency)


@pytest.mark.parametrize(
    ("text", "currency"),
    [
        ("0.001", "USD"),
        ("1.000", "USD"),
        ("100.00", "JPY"),
        ("0.0001", "KWD"),
        ("1e-3", "USD"),
        ("0.000", "USD"),
    ],
)
def test_more_decimals_than_the_currency_has_are_refused(text: str, currency: str) -> None:
    """A fraction of a minor unit is a mistake, even when it is zero."""
    with pytest.raises(AmountError, match="too many decimal places"):
        parse_amount(text, currency)


@pytest.mark.parametrize(
    "text",
    [
        *("", " ", "1 ", " 1", "1\n", "+1", "1.", ".5", "1,5", "1_000", "0x10", "١٢", "1e", "e1"),
        *("NaN", "Infinity", "-Infinity", "nan", "inf", "true", "null", "--1", "1.2.3", "\0"),
        "9" * 65,
    ],
)
def test_what_is_no_decimal_number_is_refused(text: str) -> None:
    """Only what JSON calls a number is one; leading zeros are forgiven."""
    with pytest.raises(AmountError, match="must be a decimal number"):
        parse_amount(text, "USD")


@pytest.mark.parametrize("text", ["-1", "-0.01", "-1e2"])
def test_a_negative_amount_is_refused(text: str) -> None:
    """Money moves one way; the direction is not in the sign."""
    with pytest.raises(AmountError, match="must not be negative"):
        parse_amount(text, "USD")


@pytest.mark.parametrize("text", ["1e400", "1e9999", "10000000000000.01", "9999999999999999"])
def test_an_amount_out_of_range_is_refused_without_being_computed(text: str) -> None:
    """A hostile exponent costs nothing."""
    with pytest.raises(AmountError, match="exceeds"):
        parse_amount(text, "USD")


@pytest.mark.parametrize("currency", ["usd", "XXX", "XAU", "", "US", "USDT", "BTC"])
def test_an_unknown_currency_is_refused_everywhere(currency: str) -> None:
    """There is no amount in a currency that is not in the table."""
    with pytest.raises(CurrencyError):
        Money(1, currency)
    with pytest.raises(CurrencyError):
        parse_amount("1", currency)
    with pytest.raises(CurrencyError):
        format_amount(1, currency)


def test_the_currency_table_is_well_formed() -> None:
    """Each code is three capital letters and has 0, 2 or 3 digits."""
    assert all(len(code) == 3 and code.isalpha() and code.isupper() for code in EXPONENTS)
    assert set(EXPONENTS.values()) == {0, 2, 3}
    assert (EXPONENTS["JPY"], EXPONENTS["USD"], EXPONENTS["KWD"]) == (0, 2, 3)


@pytest.mark.parametrize("amount_minor", [AMOUNT_MINOR_MAX + 1, -AMOUNT_MINOR_MAX - 1])
def test_money_beyond_the_limit_cannot_exist(amount_minor: int) -> None:
    """The limit holds for every Money, however it was made."""
    with pytest.raises(AmountError):
        Money(amount_minor, "USD")


def test_money_reads_as_a_person_writes_it() -> None:
    """The digits are the currency's; a debt has its sign in front."""
    assert str(Money(5, "USD")) == "0.05 USD"
    assert str(Money(-5, "USD")) == "-0.05 USD"
    assert str(Money(5, "JPY")) == "5 JPY"
