"""What a list of results can be asked for, by the pages and by the API."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar, Final
from uuid import UUID

import django_filters
from django.core.exceptions import ValidationError
from django.core.validators import MinLengthValidator
from django.db.models import Exists, OuterRef, Q, QuerySet

from evalhub.web.filters import ChoicesFilter, IdFilter, TenantFilterSet, WordsFilter, named_or_me
from results.models import Evaluation, Outcome, Review, ReviewAssignment, SearchText, TestResult
from runs.filters import both_ways
from runs.models import Case, Evaluator, Project, TestRun

VERDICTS: Final = (
    ("passed", "pass"),
    ("failed", "fail"),
    ("error", "error"),
    ("unscored", "no score"),
    ("pending", "pending"),
)
REVIEWS: Final = (*TestResult.ReviewState.choices, ("corrected", "Corrected"))
SORTS: Final = {
    "outcome": "Worst first",
    "position": "Order of arrival",
    "latency": "Latency",
    "created": "Created",
    "score": "Score of the evaluator",
}
SHORTEST_SEARCH: Final = 2
INDEXED_SEARCH: Final = 3  # characters from which on the index of texts helps
MOST_RUNS: Final = 1_000  # of a project that are named one by one


class RunsOfProjectFilter(IdFilter):
    """Results of a project, by its runs: PostgreSQL knows how many results a run has, not how many a project has."""

    def filter(self, qs: QuerySet[Any], value: Any) -> QuerySet[Any]:
        if not value:
            return qs
        projects = [project.pk for project in self.find(value)]
        runs = list(TestRun.objects.filter(project__in=projects).values_list("pk", flat=True)[: MOST_RUNS + 1])
        return qs.filter(run__in=runs) if len(runs) <= MOST_RUNS else qs.filter(run__project__in=projects)


class ResultFilter(TenantFilterSet):
    """``evaluator`` alone names the column to sort by; with ``verdict`` or a score it narrows the list."""

    q = django_filters.CharFilter(
        label="Search",
        method="search",
        max_length=200,
        validators=[MinLengthValidator(SHORTEST_SEARCH)],
        help_text="At least 2 characters of the first 2,000 of inputs and output.",
    )
    run = IdFilter(label="Run", model=TestRun, help_text="Id.")
    project = RunsOfProjectFilter(label="Project", model=Project, words=("slug",), help_text="Id or slug.")
    case = IdFilter(label="Case", model=Case, help_text="Id.")
    outcome = ChoicesFilter(label="Outcome", choices=Outcome.choices, help_text="Effective: people over machine.")
    machine_outcome = ChoicesFilter(label="Judge", choices=Outcome.choices, help_text="What the machine said.")
    evaluator = IdFilter(label="Evaluator", method="as_it_is", model=Evaluator, help_text="Id; for the next three.")
    verdict = ChoicesFilter(
        label="Verdict", method="as_it_is", choices=VERDICTS, help_text="Of the evaluator, after people's corrections."
    )
    score_min = django_filters.NumberFilter(label="Score at least", method="as_it_is", help_text="Of the evaluator.")
    score_max = django_filters.NumberFilter(label="Score at most", method="as_it_is", help_text="Of the evaluator.")
    review = ChoicesFilter(label="Review", method="with_review", choices=REVIEWS)
    reviewer = django_filters.CharFilter(
        label="Reviewer",
        method="of_reviewer",
        help_text="A user's id or e-mail address, or `me`: asked, or has reviewed.",
    )
    tag = WordsFilter(label="Tag", field_name="tags", lookup_expr="overlap", help_text="Any of these.")
    variant = django_filters.NumberFilter(
        label="Variant", field_name="variant__position", decimal_places=0, min_value=0, help_text="Its position."
    )
    repetition = django_filters.NumberFilter(label="Repetition", decimal_places=0, min_value=1)
    latency_min = django_filters.NumberFilter(
        label="Latency at least", field_name="latency_ms", lookup_expr="gte", help_text="Milliseconds."
    )
    latency_max = django_filters.NumberFilter(
        label="Latency at most", field_name="latency_ms", lookup_expr="lte", help_text="Milliseconds."
    )
    archived = django_filters.BooleanFilter(
        label="Archived", method="as_it_is", help_text="`true`: only archived ones; else they are left out."
    )
    sort = django_filters.ChoiceFilter(
        label="Sort",
        method="as_it_is",
        choices=both_ways(SORTS),
        help_text="Default `outcome` within a run, else `-created`. By `score` it needs a run and an evaluator.",
    )

    class Meta:
        model = TestResult
        fields: ClassVar[list[str]] = []

    not_as_chips: ClassVar[tuple[str, ...]] = ("verdict", "score_min", "score_max")
    go_together: ClassVar[dict[str, tuple[str, ...]]] = {"evaluator": ("verdict", "score_min", "score_max")}

    def __init__(self, data: Any = None, queryset: Any = None, *, run: TestRun | None = None, **kwargs: Any) -> None:
        if run is not None and queryset is not None:
            queryset = queryset.filter(run=run)
        super().__init__(data, queryset, **kwargs)
        self.within = run

    @property
    def run_id(self) -> UUID | None:
        """The one run that the list is about."""
        if self.within is not None:
            return self.within.pk
        run = self.one("run")
        return run.pk if run else None

    @property
    def evaluators(self) -> list[Evaluator]:
        """The evaluators that the list names; sorting needs exactly one."""
        return self.filters["evaluator"].find(self.values["evaluator"]) if "evaluator" in self.values else []

    @property
    def evaluator_id(self) -> UUID | None:
        evaluator = self.one("evaluator")
        return evaluator.pk if evaluator else None

    @property
    def sorted_by(self) -> str:
        return self.values.get("sort") or ("outcome" if self.run_id else "-created")

    @property
    def sorts_by_score(self) -> bool:
        """By what a machine gave: people may have given one result several scores."""
        evaluator = self.one("evaluator") if self.sorted_by.lstrip("-") == "score" and self.run_id else None
        return evaluator is not None and evaluator.who != Evaluator.Who.HUMAN

    @property
    def judgements(self) -> Q:
        """What is asked of the evaluator's judgements; nothing where only its column is named."""
        values = self.values
        wanted = Q()
        for verdict in values.get("verdict", ()):
            wanted |= MEANING[verdict]
        if "score_min" in values:
            wanted &= Q(value__gte=float(values["score_min"]))
        if "score_max" in values:
            wanted &= Q(value__lte=float(values["score_max"]))
        return wanted

    def clean_together(self) -> list[tuple[str, str]]:
        """What single fields cannot know: (field, message)."""
        values = self.values
        found: list[tuple[str, str]] = []
        for name in ("verdict", "score_min", "score_max"):
            if name in values and "evaluator" not in values:
                found.append((name, "Name the evaluator whose judgements are meant."))
        if self.values.get("sort", "").lstrip("-") == "score" and not self.sorts_by_score:
            found.append(("sort", "Sorting by a score needs one run and one evaluator of it that is no person."))
        text = values.get("q", "")
        if text and not self.run_id and len(text) < INDEXED_SEARCH and not text.startswith("#"):
            found.append(("q", f"Across runs a search needs at least {INDEXED_SEARCH} characters."))
        return found

    def is_valid(self) -> bool:
        valid: bool = super().is_valid()
        if self.is_bound and not getattr(self, "_cleaned_together", False):
            self._cleaned_together = True
            for name, message in self.clean_together():
                if name not in self.form.errors:
                    self.form.add_error(name, ValidationError(message))
        return valid and not self.form.errors

    def filter_queryset(self, queryset: QuerySet[TestResult]) -> QuerySet[TestResult]:
        found: QuerySet[TestResult] = super().filter_queryset(queryset)
        found = found.filter(archived_at__isnull=not self.values.get("archived"))
        self._without_judgements = found
        if "evaluator" in self.values and self.judgements:
            wanted = self.judgements & of_the_result(self.run_id)
            matches: Any = Exists(judged_by(self.evaluators).filter(wanted))
            people = [evaluator for evaluator in self.evaluators if evaluator.who == Evaluator.Who.HUMAN]
            if people:
                matches |= Exists(answered_by_people(people).filter(wanted))
            found = found.filter(matches)
        return found

    @property
    def follows_an_index(self) -> bool:
        """Whether PostgreSQL reads the list in its order, and need not sort what it found."""
        across, within = ("created", "-created"), ("outcome", "-outcome", "position", "-position", "-latency")
        in_order = self.sorted_by in (within if self.run_id else across)
        return in_order and not self.narrows and not self.judgements

    @property
    def without_judgements(self) -> QuerySet[TestResult]:
        """What the other filters find, for a walk along the judgements themselves."""
        _ = self.qs
        return self._without_judgements

    @property
    def narrows(self) -> bool:
        """Whether anything but the run, the outcome and the evaluator's judgements limits the list."""
        return bool(self.values.keys() - {"run", "outcome", "evaluator", "verdict", "score_min", "score_max", "sort"})

    def search(self, results: QuerySet[TestResult], name: str, value: str) -> QuerySet[TestResult]:
        text = value.strip()
        number = text.removeprefix("#")
        is_number = number.isascii() and number.isdigit() and len(number) < 10
        texts = SearchText.objects.holding(text)
        if self.run_id:
            matches = Q(pk__in=texts.filter(run=self.run_id).values("pk"))
            return results.filter(matches | Q(case__number=int(number)) if is_number else matches)
        if is_number and number != text:  # no index serves the number and the text together
            cases = Case.objects.visible_to(self.actor).filter(number=int(number))
            return results.filter(case__in=list(cases.values_list("pk", flat=True)))
        if self.actor:
            texts = texts.filter(organization=self.actor.organization)
        return results.filter(pk__in=texts.values("pk"))

    def with_review(self, results: QuerySet[TestResult], name: str, value: list[str]) -> QuerySet[TestResult]:
        states = [word for word in value if word != "corrected"]
        wanted = Q(review_state__in=states) if states else Q()
        return results.filter(wanted | Q(corrected=True) if "corrected" in value else wanted)

    def of_reviewer(self, results: QuerySet[TestResult], name: str, value: str) -> QuerySet[TestResult]:
        person = named_or_me(value, self.actor)
        if person is None:
            return results.none()
        asked = ReviewAssignment.objects.live().filter(reviewer=person).values("result_id")
        reviewed = Review.objects.filter(reviewer=person, is_current=True).values("result_id")
        return results.filter(pk__in=asked.union(reviewed))

    def as_it_is(self, results: QuerySet[TestResult], name: str, value: Any) -> QuerySet[TestResult]:
        return results

    def words_for(self, name: str, value: Any) -> tuple[str, str]:
        if name != "evaluator":
            return super().words_for(name, value)
        label, text = super().words_for(name, value)
        values, conditions = self.values, []
        if "verdict" in values:
            words = dict(VERDICTS)
            conditions.append(" or ".join(words[verdict] for verdict in values["verdict"]))
        if "score_min" in values:
            conditions.append(f"≥ {values['score_min']}")
        if "score_max" in values:
            conditions.append(f"≤ {values['score_max']}")
        return (text, " and ".join(conditions)) if conditions else (label, text)


MEANING: Final = {
    "passed": Q(effective=True),
    "failed": Q(effective=False),
    "error": Q(state=Evaluation.State.ERROR),
    "unscored": Q(state=Evaluation.State.UNSCORED),
    "pending": Q(state=Evaluation.State.PENDING),
}


def judged_by(evaluators: Iterable[Evaluator]) -> QuerySet[Evaluation]:
    """The machine's current judgements of whole results, the ones that lists show, sort by and filter on."""
    return Evaluation.objects.filter(
        evaluator__in=list(evaluators), source=Evaluation.Source.MACHINE, is_current=True, turn__isnull=True
    )


def answered_by_people(evaluators: Iterable[Evaluator]) -> QuerySet[Evaluation]:
    """What people said, asked by human evaluators: counted like a machine's word (``results.tallies``)."""
    return Evaluation.objects.filter(
        evaluator__in=list(evaluators), source=Evaluation.Source.HUMAN, is_current=True, turn__isnull=True
    )


def of_the_result(run_id: UUID | None) -> Q:
    """The judgements of the outer query's row; the run, where known, leads into the index of its judgements."""
    same = Q(result_id=OuterRef("pk"))
    return same & Q(run_id=run_id) if run_id else same
