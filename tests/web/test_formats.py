from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest

from evalhub.web import formats

NOW = datetime(2026, 6, 18, 10, 31, tzinfo=UTC)


@pytest.mark.parametrize(
    ("share", "text"),
    [
        (0.824, "82.4\u202f%"),
        (Decimal("0.8245"), "82.4\u202f%"),
        (1, "100.0\u202f%"),
        (0, "0.0\u202f%"),
        (0.99999, "99.9\u202f%"),
        (0.00001, "0.1\u202f%"),
        (None, "–"),
    ],
)
def test_a_rate_has_one_decimal_and_is_whole_only_when_it_is(share, text):
    assert formats.rate(share) == text


@pytest.mark.parametrize(
    ("low", "high", "share", "text"),
    [
        (0.842, 0.906, 0.874, "± 3.2"),
        (0.842, 0.906, None, "± 3.2"),
        (0.599, 0.814, 0.719, "± 10.7"),
        (0.301, 0.954, 0.75, "[30.1, 95.4]"),
        (0.871, 0.979, 0.947, "[87.1, 97.9]"),
        (0.439, 1, 1, "[43.9, 100.0]"),
        (0, 0.561, 0, "[0.0, 56.1]"),
        (None, None, None, "–"),
    ],
)
def test_an_interval_is_plus_minus_unless_its_arms_differ_much(low, high, share, text):
    assert formats.interval(low, high, share) == text


@pytest.mark.parametrize(("low", "high", "share", "text"), [(0.439, 1, 1, "44–100"), (0.842, 0.906, 0.874, "± 3.2")])
def test_a_compact_interval_is_a_range_of_whole_points_where_its_arms_differ_much(low, high, share, text):
    assert formats.interval(low, high, share, compact=True) == text


@pytest.mark.parametrize(
    ("change", "text"),
    [(-0.031, "−3.1 pt"), (0.005, "+0.5 pt"), (0, "±0.0 pt"), (-0.0001, "±0.0 pt"), (None, "–")],
)
def test_a_change_has_a_true_sign(change, text):
    assert formats.delta(change) == text


def test_the_interval_of_a_change_has_brackets():
    assert formats.span(-0.057, -0.005) == "[−5.7, −0.5]"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.31, "0.31"),
        (0.8, "0.80"),
        (0, "0"),
        (1.0, "1"),
        (4.6, "4.6"),
        (4.65, "4.65"),
        (-0.5, "−0.50"),
        (87, "87"),
        (12408, "12,408"),
        (0.0003, "0.0003"),
        (float("nan"), "–"),
        (None, "–"),
    ],
)
def test_a_score(value, text):
    assert formats.score(value) == text


@pytest.mark.parametrize(("value", "text"), [(0.8, "≥ 0.80"), (1, "≥ 1.00"), (3.5, "≥ 3.5"), (None, "–")])
def test_a_threshold_says_which_side_is_good(value, text):
    assert formats.threshold(value) == text
    assert formats.threshold(value, higher_is_better=False) == text.replace("≥", "≤")


@pytest.mark.parametrize(
    ("value", "exact", "about"),
    [(12408, "12,408", "about 12,400"), (0, "0", "about 0"), (1234567, "1,234,567", "about 1,230,000")],
)
def test_a_count_says_when_it_is_an_estimate(value, exact, about):
    assert formats.count(value) == exact
    assert formats.count(value, about=True) == about


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (840, "840 ms"),
        (0, "0 ms"),
        (999.6, "1.0 s"),
        (1200, "1.2 s"),
        (9949, "9.9 s"),
        (9960, "10 s"),
        (41_000, "41 s"),
        (59_600, "1 min"),
        (258_000, "4 min 18 s"),
        (3_599_900, "1 h"),
        (6_600_000, "1 h 50 min"),
        (86_399_000, "1 d"),
        (timedelta(days=3, hours=4), "3 d 4 h"),
        (-1, "–"),
        (None, "–"),
    ],
)
def test_a_duration_has_two_units_at_most(value, text):
    assert formats.duration(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0041, "$0.0041"),
        (Decimal("1.458"), "$1.46"),
        (0.25, "$0.25"),
        (0.5, "$0.50"),
        (0.999, "$1.00"),
        (0.00012, "$0.00012"),
        (1234.5, "$1,234.50"),
        (0, "$0"),
        (None, "–"),
    ],
)
def test_money(value, text):
    assert formats.money(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (datetime(2026, 6, 18, 8, 0, tzinfo=UTC), "08:00"),
        (datetime(2026, 6, 17, 19, 44, tzinfo=UTC), "17 Jun 19:44"),
        (datetime(2025, 6, 17, 19, 44, tzinfo=UTC), "17 Jun 2025"),
        (date(2026, 6, 18), "today"),
        (date(2026, 6, 19), "tomorrow"),
        (date(2026, 6, 17), "yesterday"),
        (date(2026, 7, 1), "1 Jul"),
        (date(2027, 1, 1), "1 Jan 2027"),
        (None, "–"),
    ],
)
def test_a_time_is_as_short_as_it_can_be(value, text):
    assert formats.when(value, NOW) == text


def test_a_stamp_is_whole():
    assert formats.stamp(datetime(2026, 6, 18, 8, 0, 12, tzinfo=UTC)) == "18 Jun 2026, 08:00:12 UTC"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("Ines Kowalski", "IK"),
        ("CI pipeline", "CI"),
        ("ines.kowalski@acme.example", "IK"),
        ("Ana Maria de Souza", "AS"),
        ("Plato", "PL"),
        ("", "?"),
        ("…", "…"),
    ],
)
def test_initials(name, text):
    assert formats.initials(name) == text
