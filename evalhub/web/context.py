"""What base.html needs around every page: who is here, where the rail leads, how the page looks."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from django.http import HttpRequest
from django.urls import NoReverseMatch, reverse
from django.utils.functional import SimpleLazyObject, cached_property

from evalhub.web.parts import Link
from evalhub.web.request_ids import current_request_id

MAIN: Final = (
    ("runs:run-list", "Runs", "runs", "g r"),
    ("results:review-list", "Review", "review", "g q"),
    ("results:result-list", "Results", "results", "g s"),
)
BELONGS: Final = {
    "results:result-detail": "runs:run-list",
    "results:step-detail": "runs:run-list",
    "results:comment-edit": "runs:run-list",
    "results:assignment-create": "runs:run-list",
    "results:round-detail": "results:review-list",
    "results:round-work": "results:review-list",
    "runs:case-list": "runs:test-set-list",
    "runs:case-detail": "runs:test-set-list",
    "runs:case-edit": "runs:test-set-list",
    "runs:view-list": "runs:run-list",
    "runs:view-create": "runs:run-list",
    "runs:view-edit": "runs:run-list",
    "accounts:audit-list": "accounts:member-list",
    "accounts:organization-edit": "accounts:member-list",
}
SET_UP: Final = (
    ("runs:project-list", "Projects", "project"),
    ("runs:test-set-list", "Test sets", "layers"),
    ("runs:evaluator-list", "Evaluators", "gauge"),
    ("runs:endpoint-list", "Endpoints", "plug"),
    ("runs:configuration-list", "Configurations", "gear"),
    ("imports:import-list", "Imports", "upload"),
)
ADMINISTER: Final = (("accounts:member-list", "Members", "users"), ("accounts:token-list", "Tokens", "lock"))
OPERATE: Final = (("admin:index", "Admin", "shield"),)
ABOUT: Final = (("api:docs", "API", "code"), ("api:index", "API", "code"))


@dataclass
class Hooks:
    """What the rooms above tell the rail; the rail itself knows neither runs nor results.

    An app sets its hook when it is ready: ``HOOKS.open_reviews = count_open_for``.
    """

    open_reviews: Callable[[Any], int] = lambda actor: 0
    projects: Callable[[Any], Iterable[Link]] = lambda request: ()


HOOKS: Final = Hooks()


@lru_cache(maxsize=256)
def address(name: str) -> str:
    """Where a page lives; nothing while there is no such page."""
    try:
        return reverse(name)
    except NoReverseMatch:
        return ""


class Shell:
    """Everything is asked for only when the template shows it."""

    def __init__(self, request: HttpRequest) -> None:
        self.request = request
        self.actor = getattr(request, "actor", None)

    @cached_property
    def user(self) -> Any:
        if self.actor is not None:
            return self.actor.user
        user = getattr(self.request, "user", None)
        return user if user is not None and user.is_authenticated else None

    @property
    def theme(self) -> str:
        """light, dark, or nothing for what the system has."""
        theme = getattr(self.user, "theme", "")
        return theme if theme in ("light", "dark") else ""

    @property
    def shortcuts(self) -> bool:
        return bool(getattr(self.user, "shortcuts", True))

    @property
    def request_id(self) -> str:
        return current_request_id.get() or ""

    @property
    def role(self) -> str:
        return getattr(self.actor.role, "label", str(self.actor.role)) if self.actor else ""

    @cached_property
    def open_reviews(self) -> int:
        return HOOKS.open_reviews(self.actor) if self.actor else 0

    @cached_property
    def main(self) -> list[Link]:
        links = self.links(MAIN)
        return [
            Link(link.label, link.url, link.current, self.open_reviews or None, link.icon, link.key)
            if link.label == "Review"
            else link
            for link in links
        ]

    @property
    def set_up(self) -> list[Link]:
        return self.links(SET_UP)

    @property
    def administer(self) -> list[Link]:
        links: list[Link] = []
        if self.actor and self.actor.may("manage_members"):
            links += self.links(ADMINISTER)
        if getattr(self.user, "is_superuser", False):
            links += self.links(OPERATE)
        return links

    @property
    def about(self) -> list[Link]:
        return self.links(ABOUT)[:1]  # the documentation, else what the API says of itself

    @cached_property
    def entry(self) -> str:
        """The entry that a page belongs to whose address does not say so."""
        match = self.request.resolver_match
        return BELONGS.get(match.view_name, "") if match else ""

    def links(self, entries: Iterable[tuple[str, ...]]) -> list[Link]:
        found = []
        for name, label, icon, *key in entries:
            url = address(name)
            if url:
                current = name == self.entry if self.entry else url != "/" and self.request.path.startswith(url)
                found.append(Link(label, url, current, None, icon, key[0] if key else ""))
        return found

    @cached_property
    def organizations(self) -> list[Link]:
        """The reader's organisations; more than one makes a switch of the rail's head."""
        here = self.actor.organization.pk if self.actor else None
        return [
            Link(membership.organization.name, str(membership.organization_id), membership.organization_id == here)
            for membership in getattr(self.request, "memberships", ())
        ]

    @cached_property
    def projects(self) -> list[Link]:
        return list(HOOKS.projects(self.request)) if self.actor else []

    @property
    def search_url(self) -> str:
        return address("results:result-list") or address("runs:run-list")

    @property
    def urls(self) -> dict[str, str]:
        """Addresses that the shell links to when they exist."""
        return {
            "runs": address("runs:run-list"),
            "reviews": address("results:review-list"),
            "profile": address("accounts:profile"),
            "password": address("accounts:password"),
            "login": address("accounts:login"),
            "logout": address("accounts:logout"),
            "switch": address("accounts:switch"),
        }


def shell(request: HttpRequest) -> dict[str, Any]:
    """Context processor: ``shell`` and ``actor``."""
    return {"shell": SimpleLazyObject(lambda: Shell(request)), "actor": getattr(request, "actor", None)}
