from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection
from django.db.models import F, Value
from django.db.models.functions import Length
from django.test.utils import CaptureQueriesContext

from evalhub.accounts.models import ApiToken
from evalhub.web import paging
from evalhub.web.paging import BadCursor, Count, Order, count_rows, read_page
from tests.factories import make_organization, make_user

pytestmark = pytest.mark.django_db

THEN = datetime(2026, 6, 18, 8, 0, 0, 123456, tzinfo=UTC)


@pytest.fixture
def tokens():
    organization = make_organization()
    user = make_user()
    times = [None, THEN, THEN, THEN + timedelta(hours=1), None, THEN - timedelta(days=400), THEN]
    names = ["b", "a", "a", "c", "", "b", "ä"]
    return ApiToken.objects.bulk_create(
        [
            ApiToken(
                organization=organization,
                user=user,
                name=names[number % 7],
                last_used_at=times[number * 3 % 7],
                prefix="p",
                digest=str(number),
                scopes=[],
            )
            for number in range(20)
        ]
    )


def walk(queryset, order, size, *, forwards=True):
    """Every page, from the first on or from the last back; with the cursors that link them."""
    page = read_page(queryset, order, None, size)
    pages = [page]
    while page.next:
        page = read_page(queryset, order, page.next, size)
        pages.append(page)
    if forwards:
        return pages
    pages = [page]
    while page.previous:
        page = read_page(queryset, order, page.previous, size)
        pages.append(page)
    return pages[::-1]


ORDERS = [
    Order("-last_used_at"),
    Order("last_used_at"),
    Order("name"),
    Order("-name", "-last_used_at"),
    Order("name", "-last_used_at"),
    Order("-last_used_at", "name"),
    Order("last_used_at", "-name"),
    Order("-user__email", "name"),
    Order("-created_at"),
    Order("id"),
    Order(),
]


@pytest.mark.parametrize("order", ORDERS, ids=str)
@pytest.mark.parametrize("size", [1, 3, 7, 20, 50])
def test_the_pages_hold_every_row_once_in_order(tokens, order, size):
    columns = [column.path for column in order.columns]
    queryset = ApiToken.objects.values(*columns)
    whole = [row["id"] for row in queryset.order_by(*order.clauses())]

    forwards = [row["id"] for page in walk(queryset, order, size) for row in page]
    backwards = [row["id"] for page in walk(queryset, order, size, forwards=False) for row in page]

    assert len(whole) == 20
    assert forwards == whole
    # Read from the end, the first page may be the short one.
    assert backwards == whole


def test_nulls_come_last_both_ways(tokens):
    for order in (Order("-last_used_at"), Order("last_used_at")):
        rows = read_page(ApiToken.objects.all(), order, size=50).rows

        assert [row.last_used_at is None for row in rows] == sorted(row.last_used_at is None for row in rows)


def test_a_page_says_where_in_the_list_it_is(tokens):
    pages = walk(ApiToken.objects.all(), Order("-last_used_at"), 8)

    assert [(page.first, page.last, bool(page.previous), bool(page.next)) for page in pages] == [
        (1, 8, False, True),
        (9, 16, True, True),
        (17, 20, True, False),
    ]


def test_the_way_back_leads_to_the_same_rows(tokens):
    order = Order("-last_used_at")
    first, second, _ = walk(ApiToken.objects.all(), order, 8)

    again = read_page(ApiToken.objects.all(), order, second.previous, 8)

    assert (again.rows, again.first, again.previous) == (first.rows, 1, None)


def test_a_list_can_be_sorted_by_an_annotation(tokens):
    queryset = ApiToken.objects.annotate(width=Length("name"), nothing=Value(None)).values("id", "width")
    order = Order("-width")

    rows = [row["width"] for page in walk(queryset, order, 3) for row in page]

    assert rows == sorted(rows, reverse=True)
    assert len(rows) == 20


def test_an_empty_list_has_one_empty_page():
    page = read_page(ApiToken.objects.all(), Order("-created_at"))

    assert (page.rows, page.next, page.previous, page.first, page.last) == ([], None, None, 0, 0)


def test_rows_that_came_in_between_are_not_shown_twice(tokens):
    order = Order("-created_at")
    first = read_page(ApiToken.objects.all(), order, size=5)

    ApiToken.objects.create(
        organization=tokens[0].organization, user=tokens[0].user, name="new", prefix="p", digest="new", scopes=[]
    )
    second = read_page(ApiToken.objects.all(), order, first.next, size=5)

    assert {row.pk for row in first} & {row.pk for row in second} == set()


@pytest.mark.parametrize(
    "cursor",
    ["x", "eyJ", "~", "~~~", "a" * 5_000, "WzAsMF0~abc", "\0", "ü", "W10~" + "A" * 43, " ", "null", "%00", "9" * 400],
)
def test_a_damaged_cursor_is_refused_in_a_sentence(tokens, cursor):
    with pytest.raises(BadCursor, match="damaged or of another sort order"):
        read_page(ApiToken.objects.all(), Order("-created_at"), cursor)


def test_a_cursor_of_another_order_is_refused(tokens):
    page = read_page(ApiToken.objects.all(), Order("-created_at"), size=5)

    with pytest.raises(BadCursor):
        read_page(ApiToken.objects.all(), Order("created_at"), page.next, size=5)


def test_a_changed_cursor_is_refused(tokens):
    cursor = read_page(ApiToken.objects.all(), Order("-created_at"), size=5).next

    for position in range(0, len(cursor), 7):
        changed = cursor[:position] + ("A" if cursor[position] != "A" else "B") + cursor[position + 1 :]
        with pytest.raises(BadCursor):
            read_page(ApiToken.objects.all(), Order("-created_at"), changed, size=5)


@pytest.mark.parametrize("order", [Order("-created_at"), Order("-last_used_at")], ids=str)
def test_one_comparison_lets_an_index_start_at_the_row(tokens, order):
    page = read_page(ApiToken.objects.all(), order, size=3)

    with CaptureQueriesContext(
        connection,
    ) as queries:
        read_page(ApiToken.objects.all(), order, page.next, size=3)

    [query] = queries
    column = order.columns[0].path
    assert f'("accounts_apitoken"."{column}", "accounts_apitoken"."id") < (' in query["sql"]
    assert " OR " not in query["sql"]


def test_rows_are_counted_up_to_a_limit(tokens):
    assert count_rows(ApiToken.objects.all()) == Count(20)
    assert count_rows(ApiToken.objects.none()) == Count(0)

    about = count_rows(ApiToken.objects.order_by("name"), up_to=10)

    assert about.exact is False
    assert about.value >= 11


def test_a_value_that_cannot_be_in_a_cursor_is_a_mistake_of_ours():
    with pytest.raises(TypeError):
        paging.packed(object())


@pytest.mark.parametrize("value", [THEN, THEN.date(), timedelta(days=2, seconds=3), None, "x", 1.5, 3, True])
def test_values_come_back_from_a_cursor_as_they_were(value):
    assert paging.unpacked(paging.packed(value)) == value


def test_a_page_of_values_needs_the_columns_it_is_sorted_by(tokens):
    with pytest.raises(KeyError):
        read_page(ApiToken.objects.values("id"), Order("-created_at"), size=3)


def test_the_same_questions_are_asked_for_one_row_and_for_three(tokens):
    asked = []
    for size in (1, 3):
        with CaptureQueriesContext(connection) as queries:
            read_page(ApiToken.objects.filter(pk__in=[token.pk for token in tokens[:size]]), Order("-last_used_at"))
        asked.append(len(queries))

    assert asked == [1, 1]


def test_expressions_of_a_cursor_keep_their_types(tokens):
    queryset = ApiToken.objects.annotate(half=F("created_at") - F("created_at")).values("id", "half")

    rows = [row["id"] for page in walk(queryset, Order("-half"), 6) for row in page]

    assert len(set(rows)) == 20
