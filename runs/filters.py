"""What the runs list can be asked for, by the page and by the API."""

from __future__ import annotations

from typing import Any, ClassVar, Final

import django_filters
from django.db.models import F, Q, QuerySet
from django.db.models.functions import Lower

from evalhub.accounts.tenancy import normal_external_id, parse_uuid
from evalhub.database.lookups import contains
from evalhub.web.filters import ChoicesFilter, IdFilter, TenantFilterSet, WordsFilter, named_or_me
from evalhub.web.paging import Order
from runs.models import Endpoint, Project, TestConfiguration, TestRun, TestSet

IN_PROGRESS: Final = "active"

SORTS: Final = {
    "created": "Created",
    "name": "Name",
    "pass_rate": "Pass rate",
    "results": "Results",
}
SORT_COLUMNS: Final = {
    "created": "created_at",
    "name": "folded_name",
    "pass_rate": "pass_rate",
    "results": "result_count",
}
NEWEST_FIRST: Final = "-created"

REVIEWS: Final = (
    ("none", "Nothing asked for"),
    ("open", "Waiting for reviewers"),
    ("done", "All done"),
    ("conflict", "With conflicts"),
    ("corrected", "Corrected by people"),
)


def both_ways(sorts: dict[str, str]) -> list[tuple[str, str]]:
    return [(f"{sign}{name}", f"{label}{words}") for name, label in sorts.items() for sign, words in WAYS]


WAYS: Final = (("", ""), ("-", ", descending"))


PERSON = "A user's id or e-mail address, or `me`."


class RunFilter(TenantFilterSet):
    q = django_filters.CharFilter(
        label="Search",
        method="search",
        max_length=200,
        help_text="Part of a name, branch or commit; a number, id or tag.",
    )
    status = ChoicesFilter(
        label="Status",
        method="with_status",
        choices=[(IN_PROGRESS, "In progress"), *TestRun.Status.choices],
        help_text="`active` is queued or running. Repeat for any of several.",
    )
    project = IdFilter(label="Project", model=Project, words=("slug",), help_text="Id or slug.")
    configuration = IdFilter(label="Configuration", model=TestConfiguration, help_text="Id.")
    endpoint = IdFilter(label="Endpoint", field_name="configuration__endpoint", model=Endpoint, help_text="Id.")
    test_set = IdFilter(label="Test set", field_name="configuration__test_set", model=TestSet, help_text="Id.")
    branch = WordsFilter(label="Branch", lookup_expr="in", help_text="Exactly.")
    commit = django_filters.CharFilter(label="Commit", lookup_expr="startswith", max_length=200, help_text="Its start.")
    tag = WordsFilter(label="Tag", field_name="tags", lookup_expr="overlap", help_text="Any of these.")
    via = ChoicesFilter(label="Arrived by", choices=TestRun.Via.choices)
    owner = django_filters.CharFilter(label="Owner", method="of_person", help_text=PERSON)
    assignee = django_filters.CharFilter(label="Assignee", method="of_person", help_text=PERSON)
    created_by = django_filters.CharFilter(label="By", method="of_person", help_text=PERSON)
    reviews = ChoicesFilter(label="Reviews", method="with_reviews", choices=REVIEWS)
    pass_rate_min = django_filters.NumberFilter(
        label="Pass rate at least", field_name="pass_rate", lookup_expr="gte", help_text="0 to 1."
    )
    pass_rate_max = django_filters.NumberFilter(
        label="Pass rate at most", field_name="pass_rate", lookup_expr="lte", help_text="0 to 1."
    )
    created_after = django_filters.IsoDateTimeFilter(
        label="Created from", field_name="created_at", lookup_expr="gte", help_text="A date, or a time with its zone."
    )
    created_before = django_filters.IsoDateTimeFilter(
        label="Created before", field_name="created_at", lookup_expr="lt", help_text="A date, or a time with its zone."
    )
    archived = django_filters.BooleanFilter(
        label="Archived", method="archived_ones", help_text="`true`: only archived ones; else they are left out."
    )
    sort = django_filters.ChoiceFilter(
        label="Sort", method="as_it_is", choices=both_ways(SORTS), help_text=f"Default `{NEWEST_FIRST}`."
    )

    class Meta:
        model = TestRun
        fields: ClassVar[list[str]] = []

    @property
    def order(self) -> Order:
        """The list's sort order, for ``read_page``."""
        wanted = self.values.get("sort", NEWEST_FIRST)
        sign = "-" if wanted.startswith("-") else ""
        return Order(f"{sign}{SORT_COLUMNS[wanted.lstrip('-')]}", nullable={"folded_name": False})

    def filter_queryset(self, queryset: QuerySet[TestRun]) -> QuerySet[TestRun]:
        found: QuerySet[TestRun] = super().filter_queryset(queryset)
        if not self.values.get("archived"):
            found = found.filter(archived_at__isnull=True)
        return found.annotate(folded_name=Lower("name")) if "name" in self.values.get("sort", "") else found

    def search(self, runs: QuerySet[TestRun], name: str, value: str) -> QuerySet[TestRun]:
        text = value.strip()
        matches = Q(contains("name", text)) | Q(contains("branch", text)) | Q(commit__startswith=text)
        matches |= Q(external_id=normal_external_id(text)) | Q(tags__contains=[text[:80]])
        number = text.removeprefix("#")
        if number.isascii() and number.isdigit() and len(number) < 10:
            matches |= Q(number=int(number))
        if parse_uuid(text):
            matches |= Q(pk=text)
        return runs.filter(matches)

    def with_status(self, runs: QuerySet[TestRun], name: str, value: list[str]) -> QuerySet[TestRun]:
        states = {*value} - {IN_PROGRESS} | ({*TestRun.ACTIVE} if IN_PROGRESS in value else set())
        return runs.filter(status__in=sorted(states))

    def of_person(self, runs: QuerySet[TestRun], name: str, value: str) -> QuerySet[TestRun]:
        person = named_or_me(value, self.actor)
        return runs.filter(**{name: person}) if person else runs.none()

    def with_reviews(self, runs: QuerySet[TestRun], name: str, value: list[str]) -> QuerySet[TestRun]:
        meaning = {
            "none": Q(reviews_required=0),
            "open": Q(reviews_required__gt=F("reviews_done")),
            "done": Q(reviews_required__gt=0, reviews_done__gte=F("reviews_required")),
            "conflict": Q(conflicts__gt=0),
            "corrected": Q(corrected__gt=0),
        }
        wanted = Q()
        for word in value:
            wanted |= meaning[word]
        return runs.filter(wanted)

    def archived_ones(self, runs: QuerySet[TestRun], name: str, value: bool) -> QuerySet[TestRun]:
        return runs.filter(archived_at__isnull=False) if value else runs

    def as_it_is(self, runs: QuerySet[TestRun], name: str, value: Any) -> QuerySet[TestRun]:
        return runs
