"""What a question about numbers is about: the filters that insights and the older statistics share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from django.db.models import Exists, OuterRef, Q, QuerySet
from django.utils import timezone

from evalhub.compat.rhesis.door import Call
from evalhub.compat.rhesis.finding import keys_of, meaning_of_user, visible
from evalhub.compat.rhesis.reading import read_time
from evalhub.compat.rhesis.statuses import (
    result_code_expression,
    result_codes,
    result_codes_named,
    run_states,
    run_states_shown_as,
    value_in,
)
from results.models import Evaluation, TestResult
from runs.models import Case, Category, Endpoint, Prompt, Requirement, TestRun, TestSet, Topic

FILTERS: Final = (
    "test_run_ids", "requirement_ids", "behavior_ids", "category_ids", "topic_ids", "status_ids", "test_ids",
    "test_type_ids", "user_ids", "assignee_ids", "owner_ids", "prompt_ids", "test_set_ids", "tags", "metric_names",
    "endpoint_ids", "status_names",
)  # fmt: skip
LONGEST_PERIOD: Final = 1200  # months


@dataclass(slots=True)
class Scope:
    """Filters with their values, and a period."""

    call: Call
    values: Mapping[str, Sequence[str]] = field(default_factory=dict)
    start: datetime | None = None
    end: datetime | None = None
    priorities: tuple[int | None, int | None] = (None, None)

    # --- rows ---

    def results(self) -> QuerySet[TestResult]:
        rows = visible(self.call, TestResult).filter(archived_at__isnull=True, run__archived_at__isnull=True)
        rows = rows.exclude(run__kind=TestRun.Kind.PRODUCTION).annotate(code=result_code_expression())
        found: QuerySet[TestResult] = rows.filter(self._in_period(), *self._of_results())
        return found

    def runs(self) -> QuerySet[TestRun]:
        rows = visible(self.call, TestRun).filter(archived_at__isnull=True)
        found: QuerySet[TestRun] = rows.filter(self._in_period(), *self._of_runs())
        return found

    def cases(self) -> QuerySet[Case]:
        """The tests themselves; a filter on runs keeps those that were in one."""
        rows = visible(self.call, Case).filter(archived_at__isnull=True)
        found: QuerySet[Case] = rows.filter(*self._of_cases())
        if any(self.values.get(name) for name in ("test_run_ids", "endpoint_ids", "metric_names", "user_ids")):
            found = found.filter(Exists(self.results().filter(case=OuterRef("pk"))))
        return found

    def judgements(self) -> QuerySet[Evaluation]:
        """The machine's, of the whole results."""
        rows = Evaluation.objects.visible_to(self.call.actor).filter(
            result__in=self.results().order_by().values("pk"), source=Evaluation.Source.MACHINE, is_current=True,
            turn__isnull=True,
        )  # fmt: skip
        names = self.values.get("metric_names")
        return rows.filter(evaluator__name__in=names) if names else rows

    # --- conditions ---

    def _in_period(self) -> Q:
        wanted = Q()
        if self.start is not None:
            wanted &= Q(created_at__gte=self.start)
        if self.end is not None:
            wanted &= Q(created_at__lte=self.end)
        return wanted

    def _keys(self, name: str, model: Any) -> list[UUID]:
        return keys_of(self.call, model, self.values[name])

    def _people(self, name: str) -> list[UUID]:
        meaning = meaning_of_user(self.call)
        return [pk for ident in self.values[name] for pk in meaning(ident)]

    def _each(self, conditions: Mapping[str, Callable[[str], Q]]) -> list[Q]:
        return [condition(name) for name, condition in conditions.items() if self.values.get(name)]

    def _on_cases(self, prefix: str) -> dict[str, Callable[[str], Q]]:
        def by(column: str, model: Any) -> Callable[[str], Q]:
            return lambda name: Q((f"{prefix}{column}__in", self._keys(name, model)))

        def by_person(column: str) -> Callable[[str], Q]:
            return lambda name: Q((f"{prefix}{column}__in", self._people(name)))

        return {
            "requirement_ids": by("requirement", Requirement),
            "behavior_ids": by("requirement", Requirement),
            "category_ids": by("category", Category),
            "topic_ids": by("topic", Topic),
            "prompt_ids": by("prompt", Prompt),
            "test_type_ids": lambda name: Q(
                (f"{prefix}kind__in", [kind for text in self.values[name] if (kind := value_in("TestType", text))])
            ),
            "assignee_ids": by_person("assignee"),
            "owner_ids": by_person("owner"),
        }

    def _of_results(self) -> list[Q]:
        codes = lambda name: Q(code__in=[code for text in self.values[name] for code in result_codes(text)])  # noqa: E731
        found = self._each(
            {
                **self._on_cases("case__"),
                "test_run_ids": lambda name: Q(run__in=self._keys(name, TestRun)),
                "test_ids": lambda name: Q(case__in=self._keys(name, Case)),
                "test_set_ids": lambda name: Q(run__configuration__test_set__in=self._keys(name, TestSet)),
                "endpoint_ids": lambda name: Q(run__configuration__endpoint__in=self._keys(name, Endpoint)),
                "user_ids": lambda name: Q(run__created_by__in=self._people(name)),
                "tags": lambda name: Q(tags__overlap=list(self.values[name])),
                "status_ids": codes,
                "status_names": lambda name: Q(
                    code__in=[code for text in self.values[name] for code in result_codes_named(text)]
                ),
                "metric_names": lambda name: Q(
                    Exists(
                        Evaluation.objects.filter(
                            result=OuterRef("pk"), evaluator__name__in=self.values[name], is_current=True
                        )
                    )
                ),
            }
        )
        least, most = self.priorities
        if least is not None:
            found.append(Q(case__priority__gte=least))
        if most is not None:
            found.append(Q(case__priority__lte=most))
        return found

    def _of_runs(self) -> list[Q]:
        found = self._each(
            {
                "test_run_ids": lambda name: Q(pk__in=self._keys(name, TestRun)),
                "test_set_ids": lambda name: Q(configuration__test_set__in=self._keys(name, TestSet)),
                "endpoint_ids": lambda name: Q(configuration__endpoint__in=self._keys(name, Endpoint)),
                "user_ids": lambda name: Q(created_by__in=self._people(name)),
                "assignee_ids": lambda name: Q(assignee__in=self._people(name)),
                "owner_ids": lambda name: Q(owner__in=self._people(name)),
                "tags": lambda name: Q(tags__overlap=list(self.values[name])),
                "status_ids": lambda name: Q(
                    status__in=[state for text in self.values[name] for state in run_states(text)]
                ),
                "status_names": lambda name: Q(
                    status__in=[state for text in self.values[name] for state in run_states_shown_as(text)]
                ),
            }
        )
        of_results = ("requirement_ids", "behavior_ids", "category_ids", "topic_ids", "prompt_ids", "test_type_ids",
                      "test_ids", "metric_names")  # fmt: skip
        named = {name: self.values[name] for name in of_results if self.values.get(name)}
        if named:
            results = Scope(self.call, named).results().filter(run=OuterRef("pk"))
            found.append(Q(Exists(results)))
        return found

    def _of_cases(self) -> list[Q]:
        return self._each(
            {
                **self._on_cases(""),
                "test_ids": lambda name: Q(pk__in=self._keys(name, Case)),
                "test_set_ids": lambda name: Q(
                    Exists(
                        TestSet.cases.through.objects.filter(
                            case=OuterRef("pk"), test_set__in=self._keys(name, TestSet)
                        )
                    )
                ),
                "tags": lambda name: Q(tags__overlap=list(self.values[name])),
                "status_ids": lambda name: Q(status__in=[text.lower() for text in self.values[name]]),
                "status_names": lambda name: Q(status__in=[text.lower() for text in self.values[name]]),
            }
        )


def period(
    months: int | None, start: str | None, end: str | None, *, usual: int | None = None
) -> tuple[datetime | None, datetime | None]:
    """Dates win over months; a day that ends a period counts to its end."""
    first = None if start is None else read_time(start, ("query", "start_date"))
    last = None if end is None else read_time(end, ("query", "end_date"))
    if last is not None and end is not None and len(end) <= 10:
        last += timedelta(days=1, microseconds=-1)
    if first is None and last is None:
        count = usual if months is None else months
        if count is not None:
            first = timezone.now() - timedelta(days=30.44 * min(count, LONGEST_PERIOD))
    return first, last


def pass_rate(passed: int, failed: int) -> float:
    """Percent with two decimals; errors are not in the denominator."""
    return round(100 * passed / (passed + failed), 2) if passed + failed else 0.0
