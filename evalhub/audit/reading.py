"""The audit trail in people's words."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import reduce
from operator import or_
from typing import Any, Final

from django.apps import apps
from django.db.models import Q, QuerySet

from evalhub.accounts.actor import Actor
from evalhub.accounts.models import ApiToken, Membership, User
from evalhub.audit.models import AuditEvent
from evalhub.web.parts import Link

# kind: (word, the beginnings of its actions)
KINDS: Final[dict[str, tuple[str, tuple[str, ...]]]] = {
    "": ("All", ()),
    "sign-in": ("Signing in", ("login", "logout", "password.")),
    "people": ("People", ("member.", "invitation.", "organization.")),
    "tokens": ("Tokens", ("token.",)),
    "denied": ("Denied", ("access.",)),
    "console": ("Operators", ("console.", "password.reset")),
}

# What one would not guess from "noun.verb_ed".
WORDS: Final[dict[str, str]] = {
    "login": "Signed in",
    "logout": "Signed out",
    "login.failed": "Sign-in failed",
    "login.throttled": "Sign-in blocked for a while: too many failures",
    "access.denied": "Refused: no right to do this",
    "password.changed": "Changed the password",
    "password.reset": "Set somebody’s password in the console",
    "organization.renamed": "Renamed the organisation",
    "member.joined": "Became a member",
    "member.role_changed": "Changed a role",
    "member.removed": "Removed a member",
    "invitation.made": "Invited",
    "invitation.accepted": "Accepted an invitation",
    "invitation.withdrawn": "Withdrew an invitation",
    "token.made": "Made an API token",
    "token.revoked": "Revoked an API token",
    "console.added": "Added in the console",
    "console.changed": "Changed in the console",
    "console.deleted": "Deleted in the console",
}
FAILURES: Final = frozenset({"login.failed", "login.throttled", "access.denied"})


def events_of(actor: Actor, kind: str = "") -> QuerySet[AuditEvent]:
    """The events of the actor's organisation, of one kind or all."""
    events = AuditEvent.objects.visible_to(actor).select_related("user", "token")
    _, beginnings = KINDS.get(kind, KINDS[""])
    if beginnings:
        events = events.filter(reduce(or_, (Q(action__startswith=beginning) for beginning in beginnings)))
    return events


@dataclass(frozen=True, slots=True)
class Entry:
    at: datetime
    user: User | None
    token: ApiToken | None
    words: str
    failed: bool
    label: str
    details: list[tuple[str, str]]


def entries(events: Sequence[AuditEvent]) -> list[Entry]:
    names = names_in(events)
    return [
        Entry(
            event.at,
            event.user,
            event.token,
            words_for(event.action),
            event.action in FAILURES,
            named(event.entity_label, names),
            details_of(event.data, names),
        )
        for event in events
    ]


OUR_ID: Final = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def names_in(events: Iterable[AuditEvent]) -> dict[str, str]:
    """What the members and results are called whose ids stand in the events of one organisation."""
    ids: dict[Any, set[str]] = defaultdict(set)
    for event in events:
        ids[event.organization_id].update(OUR_ID.findall(f"{event.entity_label} {json.dumps(event.data)}"))
    result: Any = apps.get_model("results.TestResult")  # by name: it is in a room above
    names = dict[str, str]()
    for organization, found in ids.items():
        if found:
            members = Membership.objects.filter(organization=organization, user_id__in=found).select_related("user")
            names |= {str(member.user_id): str(member.user) for member in members}
            results = result.objects.filter(organization=organization, pk__in=found).only("name", "position")
            names |= {str(one.pk): str(one) for one in results}
    return names


def named(text: str, names: Mapping[str, str]) -> str:
    return OUR_ID.sub(lambda found: names.get(found[0], found[0]), text)


def kind_links(current: str) -> list[Link]:
    current = current if current in KINDS else ""
    return [Link(word, f"?kind={kind}" if kind else "?", current=kind == current) for kind, (word, _) in KINDS.items()]


def words_for(action: str) -> str:
    if action in WORDS:
        return WORDS[action]
    noun, _, verb = action.partition(".")
    return f"{noun.replace('_', ' ')} {verb.replace('_', ' ')}".strip().capitalize()


def details_of(data: Any, names: Mapping[str, str]) -> list[tuple[str, str]]:
    """What an event holds beside who, what and when, in short."""
    if not isinstance(data, dict):
        return []
    if "before" in data and "after" in data:
        rest = {key: value for key, value in data.items() if key not in ("before", "after")}
        data = {"change": f"{shortened(data['before'], names)} → {shortened(data['after'], names)}", **rest}
    said = ((str(key), value) for key, value in data.items() if value not in (None, "", []))
    return [(key.replace("_", " "), shortened(value, names)) for key, value in said]


def shortened(value: Any, names: Mapping[str, str], longest: int = 80) -> str:
    if isinstance(value, dict):
        text = json.dumps(value, ensure_ascii=False, default=str)
    else:
        text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    text = named(text, names)
    return text if len(text) <= longest else f"{text[:longest]}…"
