"""What the lists of set-up things can be asked for."""

from __future__ import annotations

from typing import Any, ClassVar, Final

import django_filters
from django.db.models import Func, Q, QuerySet, TextField
from django.db.models.fields.json import KeyTextTransform
from django.db.models.functions import Cast, Coalesce, Lower

from evalhub.accounts.tenancy import normal_external_id, parse_uuid
from evalhub.database.lookups import contains
from evalhub.web.filters import ChoicesFilter, IdFilter, TenantFilterSet, WordsFilter, named_or_me
from evalhub.web.paging import Order
from runs.models import Case, Endpoint, Evaluator, Project, TestConfiguration, TestSet

SORTS: Final = {"name": "folded_name", "changed": "updated_at", "number": "number"}


class SetUpFilter(TenantFilterSet):
    """Search, archived or not, tag, owner and order: the same for every noun."""

    searched: ClassVar[tuple[str, ...]] = ("name",)
    first: ClassVar[str] = "name"  # the order where none is asked for

    q = django_filters.CharFilter(label="Search", method="search", max_length=200)
    archived = django_filters.BooleanFilter(label="Archived", method="as_it_is")
    tag = WordsFilter(label="Tag", field_name="tags", lookup_expr="overlap")
    owner = django_filters.CharFilter(label="Owner", method="of_person", max_length=40)
    sort = django_filters.ChoiceFilter(
        label="Sort", method="as_it_is", choices=[(f"{sign}{name}", name) for name in SORTS for sign in ("", "-")]
    )

    not_as_chips: ClassVar[tuple[str, ...]] = ("archived",)

    @property
    def is_archive(self) -> bool:
        return bool(self.values.get("archived"))

    @property
    def sorted_by(self) -> str:
        wanted: str = self.values.get("sort", self.first)
        return wanted if wanted.lstrip("-") != "number" or self.first == "number" else self.first

    @property
    def order(self) -> Order:
        sign = "-" if self.sorted_by.startswith("-") else ""
        return Order(f"{sign}{SORTS[self.sorted_by.lstrip('-')]}", nullable={"folded_name": False})

    def filter_queryset(self, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Archived ones included: the list shows how many there are of both."""
        found: QuerySet[Any] = super().filter_queryset(queryset)
        return found.annotate(folded_name=Lower("name")) if "name" in self.sorted_by else found

    def search(self, rows: QuerySet[Any], name: str, value: str) -> QuerySet[Any]:
        text = value.strip()
        if not text:
            return rows
        matches = Q(external_id=normal_external_id(text)) | Q(tags__contains=[text[:80]])
        for column in self.searched:
            matches |= Q(contains(column, text))
        if parse_uuid(text):
            matches |= Q(pk=text)
        return rows.filter(matches)

    def of_person(self, rows: QuerySet[Any], name: str, value: str) -> QuerySet[Any]:
        person = named_or_me(value, self.actor)
        return rows.filter(**{name: person}) if person else rows.none()

    def as_it_is(self, rows: QuerySet[Any], name: str, value: Any) -> QuerySet[Any]:
        return rows


class ProjectFilter(SetUpFilter):
    searched = ("name", "slug", "description")

    class Meta:
        model = Project
        fields: ClassVar[list[str]] = []


class OfProject(SetUpFilter):
    project = IdFilter(label="Project", model=Project, words=("slug",))


class TestSetFilter(OfProject):
    __test__ = False
    searched = ("name", "description")
    kind = ChoicesFilter(label="Conversations", choices=TestSet.Kind.choices)

    class Meta:
        model = TestSet
        fields: ClassVar[list[str]] = []


class EvaluatorFilter(OfProject):
    searched = ("name", "description")
    who = ChoicesFilter(label="Who judges", choices=Evaluator.Who.choices)
    value_type = ChoicesFilter(label="Judgement", choices=Evaluator.ValueType.choices)
    origin = ChoicesFilter(label="Origin", choices=Evaluator.Origin.choices)
    template = django_filters.BooleanFilter(label="Templates", field_name="project", lookup_expr="isnull")

    class Meta:
        model = Evaluator
        fields: ClassVar[list[str]] = []


class EndpointFilter(OfProject):
    searched = ("name", "description", "url")
    environment = ChoicesFilter(label="Environment", choices=Endpoint.Environment.choices)

    class Meta:
        model = Endpoint
        fields: ClassVar[list[str]] = []


class ConfigurationFilter(OfProject):
    searched = ("name", "description")
    endpoint = IdFilter(label="Endpoint", model=Endpoint)
    test_set = IdFilter(label="Test set", model=TestSet)
    evaluator = IdFilter(label="Evaluator", field_name="evaluators", model=Evaluator)

    class Meta:
        model = TestConfiguration
        fields: ClassVar[list[str]] = []


class CaseFilter(OfProject):
    searched = ("name",)
    first = "number"
    test_set = IdFilter(label="Test set", field_name="test_sets", model=TestSet)

    class Meta:
        model = Case
        fields: ClassVar[list[str]] = []

    @property
    def order(self) -> Order:
        """By number within one project, where numbers mean something; else the newest first."""
        return super().order if self.one("project") is not None else Order("-created_at")

    def search(self, rows: QuerySet[Any], name: str, value: str) -> QuerySet[Any]:
        return search_cases(rows, value)


USUAL_KEYS: Final = {
    "input": ("input", "question", "prompt", "query", "text"),
    "output": ("output", "expected", "answer", "reference", "text"),
}


def text_in(column: str, key: str) -> Coalesce:
    """What a case's JSON says: the text under a usual key, else all of it as text."""
    return Coalesce(*(KeyTextTransform(name, column) for name in USUAL_KEYS[key]), Cast(column, TextField()))


class Texts(Func):
    """All texts inside a JSON value, however deep, as one text; keys are not among them."""

    template = """(jsonb_path_query_array(%(expressions)s, 'strict $.** ? (@.type() == "string")'))::text"""
    output_field = TextField()


def search_cases(rows: QuerySet[Any], value: str) -> QuerySet[Any]:
    """Cases by number, name, tag, or what they ask and expect."""
    text = value.strip()
    if not text:
        return rows
    matches = Q(contains("name", text)) | Q(tags__contains=[text[:80]]) | Q(external_id=normal_external_id(text))
    matches |= Q(contains(Texts("inputs"), text)) | Q(contains(Texts("expected"), text))
    number = text.removeprefix("#")
    if number.isascii() and number.isdigit() and len(number) < 10:
        matches |= Q(number=int(number))
    return rows.filter(matches)
