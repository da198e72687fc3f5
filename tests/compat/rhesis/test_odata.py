"""The filter language: what it reads, what it refuses, and what it finds in the database and in memory."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evalhub.compat.rhesis.odata import DEEPEST, LONGEST, BadFilter, Compare, Literal, Path, matches, read_filter
from tests.compat.rhesis.conftest import Door, World
from tests.factories import make_project, make_test_set

NAMES = ("alpha", "Beta", "O'Brien", "rock 'n' roll", "50% off_now", "Zoë", "a' or name eq 'b")


@pytest.fixture
def sets(door: Door, world: World) -> Door:
    project = make_project(world.organization, name="Names")
    for n, name in enumerate(NAMES, 1):
        make_test_set(
            project, name=name, external_id=f"set-{n}", description="d" * n, owner=world.user if n == 1 else None
        )
    door.headers = {"X-Project-Id": str(project.pk)}
    return door


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("name eq 'alpha'", ["alpha"]),
        ("'alpha' eq name", ["alpha"]),
        ("name eq 'ALPHA'", []),
        ("tolower(name) eq 'beta'", ["Beta"]),
        ("toupper(name) eq 'BETA'", ["Beta"]),
        ("tolower(name) eq 'o''brien'", ["O'Brien"]),
        ("tolower(name) eq 'o'brien'", ["O'Brien"]),
        ("tolower(name) eq 'rock 'n' roll'", ["rock 'n' roll"]),
        ("tolower(name) eq 'a' or name eq 'b'", []),
        ("name in ('alpha', 'Beta')", ["Beta", "alpha"]),
        ("not (name in ('alpha', 'Beta', 'Zoë')) and not contains(name, '''')", ["50% off_now"]),
        ("contains(name, '%')", ["50% off_now"]),
        ("contains(name, '_')", ["50% off_now"]),
        ("contains(name, 'BRIEN')", []),
        ("startswith(name, 'rock') or endswith(name, 'ë')", ["Zoë", "rock 'n' roll"]),
        ("length(name) eq 5", ["alpha"]),
        ("length(description) ge 6 and length(description) le 6", ["Zoë"]),
        ("indexof(name, 'ph') eq 2", ["alpha"]),
        ("concat(concat(name, '-'), slug) eq 'alpha-'", ["alpha"]),
        ("trim(name) eq trim(' alpha ')", ["alpha"]),
        ("name gt 'alpha' and name lt 'b'", []),
        ("id eq 'set-2'", ["Beta"]),
        ("id eq 'nothing'", []),
        ("id in ('set-1', 'set-2', 'set-404')", ["Beta", "alpha"]),
        ("owner_id ne null", ["alpha"]),
        ("not (owner_id eq null)", ["alpha"]),
        ("owner/name eq 'Ada'", ["alpha"]),
        ("user_id eq 'ada@example.com'", ["alpha"]),
        ("test_set_type eq 'Multi-Turn'", []),
        ("created_at lt 2020-01-01", []),
        ("created_at gt 2020-01-01T00:00:00Z and name eq 'alpha'", ["alpha"]),
        ("created_at gt '2020-01-01T00:00:00+02:00' and name eq 'alpha'", ["alpha"]),
        ("(((name eq 'alpha')))", ["alpha"]),
    ],
)  # fmt: skip
def test_filters_find(sets: Door, text: str, found: list[str]):
    assert sorted(sets.filtered("test_sets", text)) == found


@pytest.mark.django_db
def test_what_is_null_is_not_equal_to_anything(sets: Door):
    """OData counts null as a value; SQL would lose the row."""
    others = sorted(NAMES[1:])

    assert sorted(sets.filtered("test_sets", "owner/name ne 'Ada'")) == others
    assert sorted(sets.filtered("test_sets", "not (owner/name eq 'Ada')")) == others
    assert sorted(sets.filtered("test_sets", "not (owner/name gt 'A')")) == others
    assert sorted(sets.filtered("test_sets", "not contains(owner/name, 'd')")) == others
    assert sorted(sets.filtered("test_sets", "user_id ne 'ada@example.com'")) == others
    assert sets.filtered("test_sets", "not (owner/name ne 'Ada')") == ["alpha"]


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("status_id eq 'passed'", ["result-1"]),
        ("status_id eq 'PASS'", ["result-1"]),
        ("status_id eq 'failed'", ["result-2"]),
        ("status/name eq 'Fail'", ["result-2"]),
        ("not (status/name eq 'Fail')", ["result-1"]),
        ("tolower(status/name) eq 'pass'", ["result-1"]),
        ("contains(status/name, 'ai')", ["result-2"]),
        ("status_id in ('passed', 'failed')", ["result-1", "result-2"]),
        ("status_id eq 'bogus'", []),
        ("test_run_id eq 'run-123'", ["result-1", "result-2"]),
        ("test_run_id eq 'run-404'", []),
        ("test_run_id eq null", []),
        ("test_id eq 'case-1'", ["result-1"]),
        ("startswith(test/prompt/content, 'Question')", ["result-1", "result-2"]),
        ("test_run/name eq 'Safety Evaluation - run 1' and status_id eq 'failed'", ["result-2"]),
        ("test_configuration_id eq 'config-123'", ["result-1", "result-2"]),
        ("test_output/output eq 'Answer 1'", ["result-1"]),
        ("test_metrics/execution_time gt 150", ["result-2"]),
    ],
)
def test_filters_navigate(door: Door, world: World, text: str, found: list[str]):
    assert sorted(door.filtered("test_results", text)) == found


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("entity_type/type_value eq 'TestResult'", ["Error", "Fail", "Pass", "Review"]),
        ("tolower(name) eq 'pass'", ["Pass"]),
        ("contains(name, 'Prog') and not (name eq 'Progress')", ["In Progress"]),
        ("id in ('passed', 'open')", ["Open", "Pass"]),
        ("description ne null", []),
        ("name gt 'Q' and name lt 'R'", ["Queued"]),
    ],
)
def test_filters_work_on_lists_that_are_no_tables(door: Door, text: str, found: list[str]):
    assert sorted(door.filtered("statuses", text)) == found


@pytest.mark.parametrize(
    "text",
    [
        "",
        "   ",
        "'a'",
        "name eq",
        "eq 'a'",
        "name eq 'a' or",
        "name eq 'a' and and name eq 'b'",
        "name EQ 'a'",
        "name = 'a'",
        "name eq 'a'; drop table",
        'name eq "a"',
        "(name eq 'a'",
        "name eq 'a')",
        "name in ()",
        "name in ('a'",
        "name in (name)",
        "contains(name)",
        "contains(name, 'a', 'b')",
        "md5(name) eq 'a'",
        "'a' eq 'b'",
        "1 eq 1",
        "length('a') eq 1",
        "not",
        "name eq (name eq 'a')",
        "name add 1 eq 2",
        "name eq 1e999",
        "created_at gt 2025-99-99",
        "name eq 'a\0b'",
        "name.first eq 'a'",
        "name/../x eq 'a'",
        "//name eq 'a'",
    ],
)
def test_what_cannot_be_read_is_refused(text: str):
    with pytest.raises(BadFilter) as refusal:
        node = read_filter(text)
        matches(node, {"name": "a"}, ("name", "created_at"))

    assert str(refusal.value)


@pytest.mark.django_db
@pytest.mark.parametrize(
    "text",
    [
        "secret eq 'a'",
        "owner__password eq 'a'",
        "owner/password eq 'a'",
        "name eq 1",
        "name eq true",
        "created_at eq 'yesterday'",
        "created_at eq 1",
        "id gt 'a'",
        "id eq true",
        "name eq created_at",
        "contains(name, slug)",
        "contains(created_at, 'a')",
        "length(name) eq 'a'",
        "name gt null",
        "tolower(created_at) eq 'a'",
        "name",
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused(sets: Door, text: str):
    status, detail = sets.refused("GET", "test_sets", odata_filter=text)

    assert (status, type(detail)) == (400, str)


def test_size_and_depth_are_limited():
    with pytest.raises(BadFilter, match="characters"):
        read_filter(f"name eq '{'x' * LONGEST}'")
    with pytest.raises(BadFilter, match="deep"):
        read_filter("(" * (DEEPEST + 1) + "name eq 'a'" + ")" * (DEEPEST + 1))
    with pytest.raises(BadFilter, match="deep"):
        read_filter("not " * (DEEPEST + 1) + "(name eq 'a')")
    with pytest.raises(BadFilter, match="parts"):
        read_filter(" or ".join(["name eq 'a'"] * 400))


def test_a_hostile_filter_costs_no_time():
    began = time.perf_counter()

    for text in ("'" * 9_999, "(" * 9_999, "a/" * 4_999, "not " * 2_499, "1-" * 4_999, " " * 9_999, "a" * 9_999 + "!"):
        with pytest.raises(BadFilter):
            read_filter(text)

    assert time.perf_counter() - began < 2


@given(st.text())
@settings(max_examples=300, deadline=None)
def test_any_name_of_the_sdk_is_read_as_that_name(name: str):
    """``pull(name=...)`` puts it between quotes as it is; a doubled apostrophe alone is ambiguous."""
    lowered = name.lower()
    if "''" in lowered or "\0" in lowered or "'" in (lowered[:1], lowered[-1:]) or " eq " in lowered:
        return

    node = read_filter(f"tolower(name) eq '{lowered}'")

    assert isinstance(node, Compare)
    assert node.right == Literal(lowered)


@given(st.text(alphabet="name eqandort'()/,.-0123456789\"\\%_é", max_size=60))
@settings(max_examples=500, deadline=None)
def test_any_text_is_read_or_refused(text: str):
    try:
        node = read_filter(text)
        matches(node, {"name": "a"}, ("name",))
    except BadFilter:
        pass


def test_the_tree_of_a_filter():
    assert read_filter("tolower(name) eq 'a''b'").right == Literal("a'b")  # type: ignore[union-attr]
    assert read_filter("priority ge -2.5") == Compare("ge", Path("priority"), Literal(-2.5))
    assert read_filter("a eq B1C2D3E4-0000-4000-8000-00000000000A") == Compare(
        "eq", Path("a"), Literal("b1c2d3e4-0000-4000-8000-00000000000a")
    )
