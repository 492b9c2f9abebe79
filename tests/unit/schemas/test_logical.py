"""Moments, days and decimals are exact or refused."""

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas import _logical


@pytest.mark.parametrize(
    ("number", "encoded"),
    [
        (Decimal("0"), "00"),
        (Decimal("10"), "00989680"),
        (Decimal("-0.000001"), "ff"),
        (Decimal("0.000128"), "0080"),
        (Decimal("-0.000128"), "80"),
        (7, "6acfc0"),
    ],
)
def test_decimals_as_java_writes_them(number: Decimal | int, encoded: str) -> None:
    assert _logical.bytes_of(number).hex() == encoded
    assert _logical.decimal_of(bytes.fromhex(encoded)) == number


@pytest.mark.parametrize("number", [Decimal("0.0000001"), Decimal(10**18), Decimal("NaN"), Decimal("Infinity")])
def test_a_decimal_that_would_be_rounded_is_refused(number: Decimal) -> None:
    with pytest.raises(ValueError, match="has more than 24 digits, or 6 decimals"):
        _logical.bytes_of(number)


@given(st.integers(-(10**24) + 1, 10**24 - 1))
def test_every_decimal_returns(count: int) -> None:
    number = Decimal(count).scaleb(-6)
    assert _logical.decimal_of(_logical.bytes_of(number)) == number


@pytest.mark.parametrize("data", [b"", b"\x7f" * 11, b"\x00" * 1_000_000])
def test_bytes_that_are_no_such_decimal_are_refused(data: bytes) -> None:
    with pytest.raises((ValueError, ArithmeticError)):
        _logical.decimal_of(data)


def test_moments_are_milliseconds_in_utc() -> None:
    moment = datetime(2026, 3, 29, 3, 0, 0, 1_999, tzinfo=timezone(timedelta(hours=2)))
    assert _logical.millis_of(moment) == 1_774_746_000_001
    assert _logical.moment_of(1_774_746_000_001) == datetime(2026, 3, 29, 1, 0, 0, 1_000, tzinfo=UTC)
    assert _logical.millis_of(17) == 17
    with pytest.raises(ValueError, match="has no time zone"):
        _logical.millis_of(datetime(2026, 1, 1))  # noqa: DTZ001
    with pytest.raises(OverflowError):
        _logical.moment_of(1 << 62)
