"""Quantities, int-or-strings, micro-times and durations."""

import copy
import pickle
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proa.kube import decode, encode
from proa.kube.models import Duration, MicroTime, Quantity, now, scaled
from proa.kube.models.coordination_v1 import LeaseSpec
from proa.kube.models.core_v1 import ResourceRequirements

SUFFIXES = ["", "n", "u", "m", "k", "M", "G", "T", "P", "E", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"]
quantities = st.builds(
    lambda number, suffix: Quantity(f"{number}{suffix}"),
    st.integers(-(10**9), 10**9) | st.decimals(-1000, 1000, places=3),
    st.sampled_from([*SUFFIXES, "e3", "E-3", "e+6"]),
)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0", "0"),
        ("100m", "0.1"),
        ("1.5Gi", "1610612736"),
        ("1e3", "1000"),
        ("1E-3", "0.001"),
        ("12E", "12e18"),
        ("-2Ki", "-2048"),
        ("+.5", "0.5"),
        ("5.", "5"),
        ("3n", "3e-9"),
        ("7u", "7e-6"),
    ],
)
def test_every_suffix_is_read_exactly(text: str, value: str) -> None:
    assert Quantity(text).value == Decimal(value)


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("1000m", "1"),
        ("0.1", "100m"),
        ("1500m", "1500m"),
        ("1024Ki", "1Mi"),
        ("1.5Gi", "1536Mi"),
        ("0.5Ki", "512"),
        ("1Ki", "1Ki"),
        ("2000", "2k"),
        ("2e3", "2e3"),
        ("1000e3", "1e6"),
        ("100e-3", "100e-3"),
        ("0.00Gi", "0"),
        ("0.1n", "1n"),
        ("-1024Mi", "-1Gi"),
        ("1000000E", "1000000E"),
    ],
)
def test_the_canonical_form_is_that_of_an_api_server(text: str, canonical: str) -> None:
    assert str(Quantity(text).canonical()) == canonical


@pytest.mark.parametrize(
    "text", ["", "1 Gi", "Gi", "1gi", "0x10", "1e", "--1", "1Gi2", "NaN", "٣", "1e99999999", "9" * 65]
)
def test_text_that_is_no_quantity_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"is no quantity|exponent"):
        Quantity(text)


def test_arithmetic_is_exact_and_keeps_the_left_operands_format() -> None:
    assert str(Quantity("1Gi") + Quantity("512Mi")) == "1536Mi"
    assert str(Quantity("1Gi") - "1M") == "1072741824"
    assert str(Quantity("0") + Quantity("1024")) == "1024"
    assert str(Quantity("0") + Quantity("1Ki")) == "1Ki"
    assert str(Quantity("100m") * 3) == "300m"
    assert str(2 * Quantity("500m")) == "1"
    assert str(sum([Quantity("100m"), Quantity("0.2")])) == "300m"
    assert str(sum([Quantity("1")])) == "1"
    assert str(3 - Quantity("500m")) == "2500m"
    assert str(-Quantity("1k")) == "-1k"
    assert str(abs(Quantity("-1k"))) == "1k"


def test_comparison_is_by_value() -> None:
    assert Quantity("1") == Quantity("1000m") == "1000m"
    assert Quantity("1") != Quantity("1Ki")
    assert Quantity("900m") < 1 <= Quantity("1") < Quantity("1Ki")
    assert hash(Quantity("1")) == hash(Quantity("1000m"))
    assert sorted([Quantity("1Gi"), Quantity("1M"), Quantity("2")]) == ["2", "1M", "1Gi"]
    assert not Quantity("0Mi")
    assert (int(Quantity("1500m")), int(Quantity("-1500m")), float(Quantity("1500m"))) == (2, -2, 1.5)
    assert Quantity("1") != object()


@given(quantities)
def test_the_canonical_form_has_the_same_value_up_to_a_nano_unit(quantity: Quantity) -> None:
    canonical = quantity.canonical()
    assert abs(canonical.value - quantity.value) < Decimal("1e-9")
    assert str(canonical.canonical()) == str(canonical)


@given(quantities, quantities)
def test_what_is_added_can_be_taken_away_again(left: Quantity, right: Quantity) -> None:
    left, right = left.canonical(), right.canonical()
    assert left + right - right == left
    assert (left < right) == (left - right < 0)


def test_quantities_copy_and_pickle() -> None:
    assert copy.deepcopy(Quantity("1Gi")) == pickle.loads(pickle.dumps(Quantity("1Gi"))) == "1Gi"


def test_quantities_keep_their_text_on_the_wire() -> None:
    found = decode(b'{"limits":{"cpu":"1000m","memory":2}}', ResourceRequirements)
    assert found.limits["cpu"] == 1
    assert encode(found) == b'{"limits":{"cpu":"1000m","memory":"2"}}'


def test_percentages_are_taken_of_the_total() -> None:
    assert scaled("25%", 10, round_up=True) == 3
    assert scaled("25%", 10, round_up=False) == 2
    assert scaled(4, 10, round_up=True) == 4
    for wrong in ("4", "x%", "25 %", ""):
        with pytest.raises(ValueError, match="neither a number nor a percentage"):
            scaled(wrong, 10, round_up=True)


def test_micro_times_have_six_digits_on_the_wire_whatever_their_value() -> None:
    lease = LeaseSpec(renew_time=MicroTime(2026, 11, 21, 10, 0, 0, tzinfo=UTC))
    assert encode(lease) == b'{"renewTime":"2026-11-21T10:00:00.000000Z"}'
    read = decode(b'{"renewTime":"2026-11-21T11:00:00.25+01:00"}', LeaseSpec)
    assert encode(read) == b'{"renewTime":"2026-11-21T10:00:00.250000Z"}'
    assert decode(b'{"renewTime":null}', LeaseSpec).renew_time is None


def test_micro_times_are_datetimes_with_arithmetic() -> None:
    start = MicroTime("2026-11-21T10:00:00.000001Z")
    assert isinstance(start + timedelta(seconds=1), MicroTime)
    assert start == datetime(2026, 11, 21, 10, 0, 0, 1, tzinfo=UTC)
    assert MicroTime.now(UTC) - start > timedelta(0)
    assert copy.deepcopy(start) == pickle.loads(pickle.dumps(start)) == start


def test_now_has_the_precision_of_the_api() -> None:
    assert (now().microsecond, now().tzinfo) == (0, UTC)


@pytest.mark.parametrize(
    ("text", "seconds", "canonical"),
    [
        ("0", 0, "0s"),
        ("1h2m3s", 3723, "1h2m3s"),
        ("90m", 5400, "1h30m0s"),
        ("1.5s", 1.5, "1.5s"),
        ("-1.5h", -5400, "-1h30m0s"),
        ("300ms", 0.3, "300ms"),
        ("2us", 2e-6, "2µs"),
        ("+.5m", 30, "30s"),
        ("7ns", 7e-9, "7ns"),
    ],
)
def test_durations_are_read_and_written_as_go_does(text: str, seconds: float, canonical: str) -> None:
    assert Duration.parse(text).total_seconds() == pytest.approx(seconds)
    assert str(Duration.parse(text)) == canonical


@pytest.mark.parametrize("text", ["", "1", "s", "1h 2m", "1d", ".s", "--1s", "1e3s"])
def test_text_that_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no duration"):
        Duration.parse(text)


@given(st.integers(-(2**63), 2**63 - 1), st.integers(-(10**12), 10**12))
def test_durations_survive_writing_and_compute_exactly(first: int, second: int) -> None:
    one, two = Duration(first), Duration(second)
    assert Duration.parse(str(one)) == one
    assert (one + two - two, -Duration(-first), one * 2) == (one, one, one + one)
    assert (one < two, one == two) == (first < second, first == second)


def test_durations_are_timedeltas_down_to_a_microsecond() -> None:
    assert Duration.of(timedelta(hours=1, microseconds=1)).timedelta() == timedelta(hours=1, microseconds=1)
    assert encode({"every": Duration.parse("90s")}) == b'{"every":"1m30s"}'


def test_times_are_written_as_they_are_given_with_their_zone() -> None:
    zone = timezone(timedelta(hours=2))
    assert encode(datetime(2026, 1, 1, tzinfo=UTC)) == b'"2026-01-01T00:00:00Z"'
    assert encode(datetime(2026, 1, 1, tzinfo=zone)) == b'"2026-01-01T00:00:00+02:00"'
