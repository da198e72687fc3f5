import json
import time
from datetime import UTC, datetime
from decimal import Decimal
from uuid import UUID

import pytest
from django.utils.functional import lazystr
from hypothesis import given
from hypothesis import strategies as st

from evalhub.web.json import BadJson, dumps, loads_strict

texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=20,
)


@given(values)
def test_what_json_can_say_comes_through_unchanged(value):
    assert loads_strict(json.dumps(value).encode()) == value
    assert loads_strict(json.dumps(value, ensure_ascii=False)) == value
    assert loads_strict(dumps(value)) == value


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (b"", "The text is empty, and JSON was expected."),
        (b"  \n", "The text is empty, and JSON was expected."),
        (b'{"a": }', "This is not JSON: Expecting value, line 1 column 7."),
        (b'{"a": 1,\n "b"}', "This is not JSON: Expecting ':' delimiter, line 2 column 5."),
        (b"[1] x", "This is not JSON: Extra data, line 1 column 5."),
        (b'"a\nb"', "This is not JSON: Invalid control character at, line 1 column 3."),
        (b'"a\0b"', "This is not JSON: Invalid control character at, line 1 column 3."),
        (b"\xff", "The text is not UTF-8: byte 1 cannot be read."),
        (b'"\xed\xa0\x80"', "The text is not UTF-8: byte 2 cannot be read."),
        (b"\xef\xbb\xbf{}", "The text starts with a byte order mark, which JSON does not have."),
        (rb'{"a": "\u0000"}', "The text holds a NUL character (\\u0000), which cannot be stored."),
        (rb'{"\u0000": 1}', "The text holds a NUL character (\\u0000), which cannot be stored."),
        (rb'[[{"a": ["\ud800"]}]]', "The text holds half a character (a lone surrogate such as \\ud800)."),
        (rb'"\udc00\ud83d"', "The text holds half a character (a lone surrogate such as \\ud800)."),
        (b"NaN", "NaN is not a JSON number."),
        (b"[-Infinity]", "-Infinity is not a JSON number."),
        (b'{"a": 1e400}', "The number 1e400 is too large or too long."),
        (b"1e999999999", "The number 1e999999999 is too large or too long."),
        (b"18446744073709551616", "The number 18446744073709551616 has more than 64 bits."),
        (b"-9223372036854775809", "The number -9223372036854775809 has more than 64 bits."),
        (b"9" * 4301, f"The number {'9' * 30}… has more than 64 bits."),
        (b"0." + b"1" * 5000, f"The number 0.{'1' * 28}… is too large or too long."),
        (b'{"a": 1, "b": {"c": 1, "c": 2}}', 'The key "c" appears twice in one object.'),
        (b"[" * 65 + b"]" * 65, "The JSON is nested 65 levels deep, and 64 are allowed."),
        (b"[" * 100_000, "The JSON is nested 100,000 levels deep, and 64 are allowed."),
        (b'{"a":' * 65 + b"1" + b"}" * 65, "The JSON is nested 65 levels deep, and 64 are allowed."),
    ],
    ids=lambda value: str(value[:20]),
)
def test_everything_else_is_refused_in_a_sentence(text, sentence):
    with pytest.raises(BadJson) as refusal:
        loads_strict(text)

    assert str(refusal.value) == sentence


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (rb'"\\u0000"', "\\u0000"),
        (rb'"\\ud800"', "\\ud800"),
        (rb'"\ud83d\ude00"', "😀"),
        (b'"[[[[{{{{\\"[[["', '[[[[{{{{"[[['),
        (b"[" * 64 + b"]" * 64, None),
        (b"1e-400", 0.0),
        (b"18446744073709551615", 2**64 - 1),
        ('"text"', "text"),
    ],
)
def test_what_only_looks_forbidden_is_read(text, value):
    assert value is None or loads_strict(text) == value


def test_the_limit_of_depth_is_the_callers():
    assert loads_strict(b"[" * 100 + b"]" * 100, depth=100)

    with pytest.raises(BadJson, match="101 levels deep, and 100 are allowed"):
        loads_strict(b"[" * 101 + b"]" * 101, depth=100)


@pytest.mark.parametrize(
    "text", [b'"' + b'\\"' * 500_000, b'"\\' * 500_000, b"[" * 1_000_000, b'{"' * 300_000, b"," * 10**6]
)
def test_hostile_text_is_refused_at_once(text):
    started = time.perf_counter()

    with pytest.raises(BadJson):
        loads_strict(text)

    assert time.perf_counter() - started < 1


def test_what_is_written_is_strict_json():
    value = {
        "when": datetime(2026, 6, 18, 8, 0, tzinfo=UTC),
        "id": UUID(int=1),
        "cost": Decimal("0.25"),
        "lazy": lazystr("text"),
        "tags": {"b", "a"},
        "rate": float("nan"),
        1: None,
    }

    assert json.loads(dumps(value)) == {
        "when": "2026-06-18T08:00:00Z",
        "id": "00000000-0000-0000-0000-000000000001",
        "cost": 0.25,
        "lazy": "text",
        "tags": ["a", "b"],
        "rate": None,
        "1": None,
    }


def test_numbers_beyond_64_bits_and_odd_text_can_still_be_written():
    value = {"big": 10**30, "when": datetime(2026, 6, 18, tzinfo=UTC), "nan": float("inf"), "odd": "\ud800"}

    assert json.loads(dumps(value)) == {"big": 10**30, "when": "2026-06-18T00:00:00Z", "nan": None, "odd": "\ud800"}


def test_what_has_no_json_form_is_a_mistake_of_ours():
    with pytest.raises(TypeError):
        dumps(object())
