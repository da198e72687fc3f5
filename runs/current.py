"""The current project of a web session: what the rail shows, and what lists are about unless they say otherwise."""

from __future__ import annotations

from typing import Any

from django.http import QueryDict
from django.utils.functional import SimpleLazyObject

from evalhub.accounts.actor import Actor, ActorRequest, MemberRequest
from evalhub.web.context import address
from evalhub.web.parts import Link
from runs.models import Project

type Asked = ActorRequest | MemberRequest

PARAMETER = "project"
KEPT = "_current_project"  # on the request, so that it is asked for once
SHOWN_IN_RAIL = 12
LISTS = (  # the lists that are about one project or all
    "runs:run-list",
    "runs:test-set-list",
    "runs:evaluator-list",
    "runs:endpoint-list",
    "runs:configuration-list",
)


def current_project(request: Asked) -> Project | None:
    """The project that ``?project=`` names by slug or id (an empty one: all of them), else the one remembered.

    Naming one makes the session remember it; naming one that the actor cannot see, or several, changes nothing.
    """
    if not hasattr(request, KEPT):
        actor = getattr(request, "actor", None)
        setattr(request, KEPT, _chosen(request, actor) if actor else None)
    project: Project | None = getattr(request, KEPT)
    return project


def ask_about_current_project(request: Asked) -> None:
    """Let the list's query say the remembered project where it names none, so that filters, links and chips agree."""
    request.GET = query_with_project(request)  # type: ignore[assignment]


def query_with_project(request: Asked) -> QueryDict:
    query = request.GET.copy()
    if PARAMETER in query:
        named = [name for name in query.getlist(PARAMETER) if name.strip()]
        query.setlist(PARAMETER, named)
        if not named:
            del query[PARAMETER]
        current_project(request)
    elif project := current_project(request):
        query[PARAMETER] = project.slug
    return query


def find_project(actor: Actor | None, name: str) -> Project | None:
    """The project of that slug, our id or the client's own."""
    name = name.strip()
    if not name or "\0" in name:
        return None
    visible = Project.objects.visible_to(actor)
    return visible.filter(slug=name).first() or visible.by_id(name)


def project_links(request: Asked) -> list[Link]:
    """What the rail's switcher offers: all projects, each of the first ones by name, and the way to the rest.

    On a list they lead to the same list of another project, elsewhere to its runs.
    """
    match = request.resolver_match
    place = request.path if match is not None and match.view_name in LISTS else address(LISTS[0]) or address(LISTS[1])
    current = current_project(request)
    projects = list(Project.objects.visible_to(request.actor).current().only("id", "name", "slug")[: SHOWN_IN_RAIL + 1])
    shown = projects[:SHOWN_IN_RAIL]
    if current is not None and current not in shown:
        shown.insert(0, current)
    links = [Link("All projects", f"{place}?{PARAMETER}=", current is None)]
    links += [Link(each.name, f"{place}?{PARAMETER}={each.slug}", each == current) for each in shown]
    if len(projects) > SHOWN_IN_RAIL:
        links.append(Link("More projects …", address("runs:project-list")))
    return links


def current(request: Asked) -> dict[str, Any]:
    """Context processor: ``current_project``, asked for when a template shows it."""
    return {"current_project": SimpleLazyObject(lambda: current_project(request))}


def _chosen(request: Asked, actor: Actor) -> Project | None:
    key = f"project:{actor.organization_id}"
    remembered = request.session.get(key)
    if PARAMETER in request.GET:
        names = [name for name in request.GET.getlist(PARAMETER) if name.strip()]
        project = find_project(actor, names[0]) if len(names) == 1 else None
        if project is not None and str(project.pk) != remembered:
            request.session[key] = str(project.pk)
        elif not names and remembered is not None:
            del request.session[key]
        return project
    if remembered is None:
        return None
    return Project.objects.visible_to(actor).current().filter(pk=remembered).first()
