"""What the pages of all set-up nouns share: their lists, their forms, and the way into the archive and back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from django.db.models import OuterRef, QuerySet
from django.http import Http404, HttpResponse, QueryDict
from django.urls import reverse
from django.utils.functional import cached_property

from evalhub.accounts.actor import Actor, MemberRequest
from evalhub.accounts.models import User
from evalhub.accounts.tenancy import Deletable, DeletableQuerySet
from evalhub.audit.models import AuditEvent
from evalhub.web import formats
from evalhub.web.pages import back_to, go_to, say
from evalhub.web.paging import Count, Page, count_rows, read_page
from evalhub.web.parts import Chip, Link
from runs.archiving import archive, restore
from runs.current import PARAMETER, ask_about_current_project
from runs.models import Project, TestConfiguration, TestRun
from runs.setup_filters import SetUpFilter

PAGE_SIZE = 50
EVENTS = 10
NOT_SAID = ("sealed_secrets", "revision", "version")
LAST_RUNS = 10


SUBJECTS: Final = ("case", "test_set", "evaluator", "endpoint", "configuration", "project")


def find[M: Deletable](rows: DeletableQuerySet[M], key: str) -> M:
    """The row of that id, ours or the client's own; 404 where there is none."""
    found = rows.by_id(key)
    if found is None:
        raise Http404
    return found


class SetUpList:
    """One page of a list, with what stands above it."""

    def __init__(
        self,
        request: MemberRequest,
        filters: type[SetUpFilter],
        rows: QuerySet[Any],
        *,
        shown: QuerySet[Any] | None = None,
        by_project: bool = True,
    ) -> None:
        """``rows`` are counted; ``shown`` are the same rows with what only the table needs."""
        self.request = request
        if by_project:
            ask_about_current_project(request)
        self.query = request.GET
        self.filter = filters(self.query, rows, actor=request.actor)
        self.found: QuerySet[Any] = self.filter.qs
        self._shown = shown

    @cached_property
    def counts(self) -> tuple[Count, Count]:
        """How many are in the list, and how many in its archive."""
        current = self.found.filter(archived_at__isnull=True)
        archived = self.found.filter(archived_at__isnull=False)
        return count_rows(current), count_rows(archived)

    @property
    def total(self) -> Count:
        return self.counts[self.is_archive]

    @property
    def is_archive(self) -> bool:
        return self.filter.is_archive

    @cached_property
    def page(self) -> Page[Any]:
        rows = self.found
        if self._shown is not None:
            rows = type(self.filter)(self.query, self._shown, actor=self.request.actor).qs
        rows = rows.filter(archived_at__isnull=not self.is_archive)
        return read_page(rows, self.filter.order, self.request.GET.get("cursor"), PAGE_SIZE)

    @property
    def segments(self) -> list[Link]:
        current, archived = self.counts
        return [
            Link("In use", self.address(archived=None), not self.is_archive, int(current)),
            Link("Archived", self.address(archived="true"), self.is_archive, int(archived)),
        ]

    @cached_property
    def chips(self) -> list[Chip]:
        return self.filter.chips(self.query)

    @property
    def is_narrowed(self) -> bool:
        return bool(self.chips)

    @property
    def is_blank(self) -> bool:
        """Whether there is nothing at all yet, not even in the archive."""
        return not (self.page.rows or self.is_narrowed or self.is_archive or self.counts[1])

    @property
    def clear_url(self) -> str:
        """The list with nothing but its sort order and its archive."""
        kept = QueryDict(mutable=True)
        for name in ("archived", "sort"):
            if value := self.request.GET.get(name):
                kept[name] = value
        if PARAMETER in type(self.filter).base_filters:
            kept[PARAMETER] = ""
        return f"?{kept.urlencode()}"

    @property
    def found_text(self) -> str:
        found = int(self.total)
        return f"{formats.count(found, about=not self.total.exact)} found"

    @property
    def narrowed_text(self) -> str:
        """What to take away where nothing is found."""
        there = int(self.counts[not self.is_archive])
        if there and self.is_archive:
            return f"Nothing in the archive matches. {formats.count(there)} in use would."
        if there:
            return f"Nothing in use matches. {formats.count(there)} in the archive would."
        names = [f"{chip.key.lower()} is {chip.value}" for chip in self.chips]
        return f"What narrows the list: {', '.join(names)}."

    @property
    def carried(self) -> list[tuple[str, str]]:
        """What a search in this list keeps."""
        left_out = ("q", "cursor")
        return [(name, value) for name, values in self.query.lists() if name not in left_out for value in values]

    def selects(self, *names: str) -> list[dict[str, Any]]:
        """Filters of known words, each as a group of links."""
        groups = []
        for name in names:
            wanted = type(self.filter).base_filters[name]
            on = self.query.getlist(name)
            options = [
                Link(label, self.address(**{name: sorted({*on} ^ {value})}), value in on)
                for value, label in wanted.extra["choices"]
                if value
            ]
            groups.append({"label": wanted.label, "options": options})
        return groups

    def address(self, **values: str | list[str] | None) -> str:
        """This list with other values; None takes one out."""
        query = self.query.copy()
        query.pop("cursor", None)
        for name, value in values.items():
            if value is None or value == []:
                query.pop(name, None)
            else:
                query.setlist(name, value if isinstance(value, list) else [value])
        return f"?{query.urlencode()}"


def runs_of(by: str) -> QuerySet[TestRun]:
    """The listed runs of the outer row, newest first."""
    runs = TestRun.objects.listed().current().filter(**{by: OuterRef("pk")})
    return runs.newest_first()


def recent_runs(actor: Actor, count: int = LAST_RUNS, **of: Any) -> list[TestRun]:
    runs = TestRun.objects.visible_to(actor).listed().current().filter(**of).newest_first()
    wanted = runs.only(
        "id", "number", "name", "status", "created_at", "result_count", "planned_count", "passed", "failed",
        "pass_rate", "pass_low", "pass_high", "reviews_required", "reviews_done", "corrected", "conflicts",
        "created_by__name", "created_by__email",
    )  # fmt: skip
    return list(wanted.select_related("created_by")[:count])


def run_address(run: TestRun) -> str:
    """The page of a run, which is in the room above."""
    return reverse("results:run-detail", args=[run.pk])


SHOWN_USERS = 6


def users_of(request: MemberRequest, **of: Any) -> dict[str, Any]:
    """The configurations that use a thing: the first by name, how many, and the list of all."""
    (name, thing), *_ = of.items()
    path = {"evaluator": "evaluators"}.get(name, name)
    found = TestConfiguration.objects.visible_to(request.actor).current().filter(**{path: thing})
    return {
        "rows": list(found.only("id", "name")[:SHOWN_USERS]),
        "total": found.count(),
        "url": f"{reverse('runs:configuration-list')}?{PARAMETER}=&{name}={thing.pk}",
    }


def rates_of(runs: Sequence[TestRun]) -> list[float]:
    """The runs' pass rates, oldest first."""
    return [run.pass_rate for run in reversed(runs) if run.pass_rate is not None]


@dataclass(frozen=True, slots=True)
class Happened:
    """One line of a thing's activity."""

    who: User | None
    did: str
    at: datetime


def activity_of(actor: Actor, thing: Deletable) -> list[Happened]:
    """What happened to it, newest first, for those who may read the audit trail."""
    if not actor.may("read_audit"):
        return []
    events = AuditEvent.objects.visible_to(actor).filter(entity_type=thing._meta.model_name, entity_id=thing.pk)
    return [
        Happened(event.user, words_for(event.action, event.data), event.at)
        for event in events.select_related("user").order_by("-id")[:EVENTS]
    ]


def words_for(action: str, data: dict[str, Any]) -> str:
    """An event as the page says it: “changed threshold and weight”."""
    did = action.partition(".")[2].replace("_", " ")
    number = data.get("count")
    match did:
        case "cases added" | "cases removed" | "cases moved":
            verb = {"added": "added", "removed": "took out", "moved": "moved"}[did.split()[1]]
            return f"{verb} {formats.count(number)} case{'' if number == 1 else 's'}"
        case "changed":
            names = [name.replace("_", " ") for name in data.get("changed", ()) if name not in NOT_SAID]
            words = "changed " + (", ".join(names) if names else "the secret")
            return words + ("; the stored secret was forgotten" if data.get("forgotten") else "")
        case "created" if number and number > 1:
            return f"made it with {formats.count(number - 1)} more"
        case "created":
            return "made it"
    return did + (" it" if did in ("archived", "restored") else "")


def archive_view(request: MemberRequest, thing: Deletable, noun: str) -> HttpResponse:
    """Archive it and go back to its list, with a way to undo."""
    if archive(thing, by=request.actor):
        say(request, f"Archived “{thing}”.", undo=reverse(f"runs:{noun}-restore", args=[thing.pk]))
    return go_to(request, back_to(request, f"runs:{noun}-list"))


def restore_view(request: MemberRequest, thing: Deletable, noun: str) -> HttpResponse:
    if restore(thing, by=request.actor):
        say(request, f"“{thing}” is back in its list.")
    return go_to(request, back_to(request, f"runs:{noun}-detail", thing.pk))


def page_of(request: MemberRequest, **context: Any) -> dict[str, Any]:
    """The context of a set-up page; one about something of a project has the rail say that project."""
    about = next((context[name] for name in SUBJECTS if name in context), None)
    project = about if isinstance(about, Project) else getattr(about, "project", None)
    return {
        **({"current_project": project} if project else {}),
        "may_set_up": request.actor.may("set_up"),
        "may_archive": request.actor.may("archive"),
        "may_launch": request.actor.may("launch"),
        **context,
    }


def project_crumbs(project: Project | None, name: str, label: str) -> list[Link]:
    """Where a page is: its project, and the list it belongs to."""
    place = reverse(f"runs:{name}-list")
    if project is None:
        return [Link(label, place)]
    here = reverse("runs:project-detail", args=[project.pk])
    return [Link(project.name, here), Link(label, f"{place}?{PARAMETER}={project.slug}")]
