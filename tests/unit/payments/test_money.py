"""Money is exact, keeps its currency's digits, and refuses whatever is no amount."""

from __future__ import annotations

from decimal import Decimal

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
    st.from_regex(r"\A0{0,3}[0-9]{1,12}(\.[0-9]{1,4})?([eE][+-]?[0-9]{1,2})?\Z"),
    currencies,
)
def test_a_parsed_amount_is_the_decimal_it_was_written_as(text: str, currency: str) -> None:
    """Parsing gives the written value to the last digit, or refuses; it never rounds."""
    try:
        money = parse_amount(text, currency)
    except AmountError:
        return
    assert Decimal(money.amount_minor).scaleb(-exponent_of(currency)) == Decimal(text)


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
