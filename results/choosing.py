"""Which results a dialog is about: those that were ticked, those of some runs, or all that a list shows."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from django.db.models import QuerySet
from django.http import QueryDict

from evalhub.accounts.actor import Actor
from evalhub.accounts.tenancy import normal_external_id
from results.filters import ResultFilter
from results.models import TestResult
from runs.filters import RunFilter
from runs.models import Project, TestRun

MOST_NAMED = 1000
NOT_OF_THE_LIST = ("next", "select", "list", "preview")


@dataclass(frozen=True)
class Choice:
    """Read from an address:

    ?result=ID&result=ID            the ticked results
    ?run=ID&run=ID                  everything in these runs
    ?select=all&run=ID&outcome=...  all that the list of results with this query shows
    ?select=all&list=runs&...       everything in the runs that the list of runs with this query shows
    """

    actor: Actor
    query: QueryDict

    @cached_property
    def is_ticked(self) -> bool:
        """Single results were named, so none of them is left to a rule."""
        return bool(self._named) and self.query.get("select") != "all"

    @cached_property
    def is_narrowed(self) -> bool:
        """A list was narrowed by more than its runs, so that all it shows is meant."""
        return self.is_ticked or bool(self._of_the_list.keys() - {"run", "sort", "cursor", "tab", "view", "result"})

    @cached_property
    def results(self) -> QuerySet[TestResult]:
        visible = TestResult.objects.visible_to(self.actor).filter(archived_at__isnull=True)
        if self.is_ticked:
            return visible.with_ids(self._named)
        if self.query.get("list") == "runs":
            runs = RunFilter(self._of_the_list, TestRun.objects.visible_to(self.actor).listed(), actor=self.actor)
            return visible.filter(run__in=runs.qs.order_by().values("pk")) if runs.is_valid() else visible.none()
        if not self._of_the_list:
            return visible.none()
        found = ResultFilter(self._of_the_list, visible, actor=self.actor)
        return found.qs.order_by() if found.is_valid() else visible.none()

    @cached_property
    def runs(self) -> list[TestRun]:
        """The runs that the results are of: at most six, more need not be told apart."""
        ids = list(self.results.order_by().values_list("run_id", flat=True).distinct()[:6])
        runs = TestRun.objects.filter(pk__in=ids).select_related("project")
        return list(runs.order_by("-created_at", "-pk"))

    @property
    def project(self) -> Project | None:
        """The one project that all of it is of."""
        projects = {run.project_id: run.project for run in self.runs}
        return next(iter(projects.values())) if len(projects) == 1 else None

    @property
    def address(self) -> str:
        """The same choice as a query string, for the form to carry along."""
        kept = self.query.copy()
        for name in ("next", "preview"):
            kept.pop(name, None)
        return kept.urlencode()

    @cached_property
    def _named(self) -> list[str]:
        """Our ids or the sender's own."""
        given = [value for value in self.query.getlist("result") if value and "\0" not in value]
        return [normal_external_id(value) for value in given[:MOST_NAMED]]

    @cached_property
    def _of_the_list(self) -> QueryDict:
        rest = self.query.copy()
        for name in (*NOT_OF_THE_LIST, "result"):
            rest.pop(name, None)
        for name in list(rest):
            if not any(rest.getlist(name)):
                del rest[name]
        return rest
