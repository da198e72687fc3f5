"""Who is in the organisation, and who did what."""

from __future__ import annotations

from typing import Final

from django.http import Http404
from django.urls import URLPattern, path
from rest_framework.request import Request
from rest_framework.response import Response

from evalhub.accounts.models import Membership
from evalhub.accounts.rights import Role
from evalhub.accounts.tenancy import parse_uuid
from evalhub.api.finding import Member, member
from evalhub.api.operations import PAGING, ApiView, Operation, pages_of
from evalhub.api.rows import Row, choice, moment, person, raw, text, uuid
from evalhub.api.shapes import Choice, Moment, Text, Uuid
from evalhub.audit.models import AuditEvent
from evalhub.web.paging import Order

MEMBER: Final = Row(
    "Member",
    {
        "id": uuid("user_id", "The person's id."),
        "name": text("user__name"),
        "email": text("user__email"),
        "role": choice("role", Role.values),
        "joined_at": moment("created_at", null=False),
    },
)
EVENT: Final = Row(
    "AuditEvent",
    {
        "id": uuid("id"),
        "at": moment("at", null=False),
        "action": text("action", example="run.created"),
        "user": person("user", "Null: EvalHub itself, or somebody who is gone."),
        "token": text("token__name", "The token that was used; null: a page.", null=True),
        "entity_type": text("entity_type"),
        "entity_id": uuid("entity_id", "Of what it was done to.", null=True),
        "entity_label": text("entity_label", "Its name at that time."),
        "data": raw("data", only=dict),
    },
    doc="Who did what, when. Rows are only ever added.",
)


class MemberList(ApiView):
    operations = {
        "GET": Operation(
            summary="List members",
            action="read",
            doc="Who joined first comes first. Members are managed on the pages only.",
            query={"role": Choice(of=tuple(Role.values)), **PAGING},
            answer=pages_of(MEMBER, "MemberPage"),
        )
    }

    def get(self, request: Request) -> Response:
        members = Membership.objects.filter(organization=self.actor.organization)
        if "role" in self.query:
            members = members.filter(role=self.query["role"])
        return self.page(members, Order("created_at"), MEMBER)


class MemberDetail(ApiView):
    operations = {
        "GET": Operation(
            summary="Read a member", action="read", doc="By id or e-mail address; `me` is you.", answer=MEMBER
        )
    }

    def get(self, request: Request, id: str) -> Response:
        user = self.actor.user if id == "me" else member(self.actor, id)
        if user is None:
            raise Http404
        (shown,) = MEMBER.fetch(Membership.objects.filter(organization=self.actor.organization, user=user))
        return Response(shown)


class Audit(ApiView):
    operations = {
        "GET": Operation(
            summary="List the audit trail",
            action="read_audit",
            doc="Newest first.",
            query={
                "action": Text(least=1, most=60, doc="Exactly, such as `run.created`."),
                "entity_id": Uuid(doc="What was done to one thing."),
                "user": Member(doc="What one colleague did: an id or e-mail address."),
                "since": Moment(doc="From this time on."),
                "until": Moment(doc="Before this time."),
                **PAGING,
            },
            answer=pages_of(EVENT, "AuditEventPage"),
        )
    }

    def get(self, request: Request) -> Response:
        query = self.query
        events = AuditEvent.objects.filter(organization=self.actor.organization)
        for name, lookup in (
            ("action", "action"),
            ("entity_id", "entity_id"),
            ("since", "at__gte"),
            ("until", "at__lt"),
        ):
            if name in query:
                events = events.filter(**{lookup: query[name]})
        if "user" in query:
            own = parse_uuid(query["user"])
            events = events.filter(user_id=own) if own else events.filter(user__email=query["user"].lower())
        return self.page(events, Order("-id"), EVENT)


urlpatterns: list[URLPattern] = [
    path("members/", MemberList.as_view(), name="member-list"),
    path("members/<ident:id>/", MemberDetail.as_view(), name="member-detail"),
    path("audit/", Audit.as_view(), name="audit-list"),
]
