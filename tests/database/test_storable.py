import json
import math

import pytest

from evalhub.database.storable import Replaced, TooDeep, storable


def test_nul_and_lone_surrogates_become_the_replacement_character():
    value = {"a\x00": ["x\x00y", "\ud800", "naïve 🙂"], "b": "plain"}

    assert storable(value) == {"a\ufffd": ["x\ufffdy", "\ufffd", "naïve 🙂"], "b": "plain"}


def test_numbers_that_are_not_finite_become_their_names():
    value = json.loads("[NaN, Infinity, -Infinity, 1e400, 0.5, -0.0, true, null]")

    assert storable(value) == ["NaN", "Infinity", "-Infinity", "Infinity", 0.5, -0.0, True, None]


def test_integers_beyond_64_bits_keep_their_digits_as_text():
    assert storable([12345678901234567890, 2**64, -(2**63) - 1, 10**5000]) == [
        12345678901234567890,
        "18446744073709551616",
        "-9223372036854775809",
        f"{10**5000:#x}",
    ]


def test_it_says_how_much_was_replaced():
    replaced = Replaced()

    storable({"a": "\x00", "b": ["\ud800", math.nan, "fine"]}, replaced)
    storable("fine", replaced)

    assert replaced == Replaced(texts=2, numbers=1)
    assert replaced.warnings() == [
        "Some texts held NUL characters or half characters (lone surrogates), which the database cannot store: "
        "each is shown as \ufffd.",
        "Some numbers could not be stored as such (NaN, infinite or too long): they are kept as text.",
    ]


def test_nothing_replaced_says_nothing():
    replaced = Replaced()

    storable({"a": [1, "x"]}, replaced)

    assert replaced.warnings() == []


def test_data_nested_too_deeply_is_refused():
    inside: object = "x"
    for _ in range(100):
        inside = [inside]

    assert storable(inside) == inside
    with pytest.raises(TooDeep):
        storable([inside])
