"""An organisation and its people: joining it, changing what somebody may do in it, leaving it, its name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from evalhub.accounts.actor import Actor
from evalhub.accounts.models import ApiToken, Membership, Organization, User
from evalhub.accounts.rights import RIGHTS, Role
from evalhub.audit.models import record_event

type Goodbye = Callable[[User, Organization], object]

_goodbyes: list[Goodbye] = []


class LastAdmin(Exception):
    """An organisation always keeps one admin."""

    def __init__(self, organization: Organization) -> None:
        super().__init__(f"{organization} would be left without an admin. Make somebody else admin first.")


def on_leaving(goodbye: Goodbye) -> Goodbye:
    """Let a room above pass on what it holds for somebody who leaves, or may no longer review.

    Called in the transaction that removes them, when they are no longer counted among the members.
    """
    if goodbye not in _goodbyes:
        _goodbyes.append(goodbye)
    return goodbye


def join(
    organization: Organization, user: User, role: str, *, by: Actor | None = None, user_id: UUID | None = None
) -> tuple[Membership, bool]:
    """Make somebody a member; who is one already keeps their role. Says whether that was new.

    Who does it is ``by``, or ``user_id`` where nobody acts for the organisation: an invited person, an operator.
    """
    with transaction.atomic():
        membership, is_new = Membership.objects.get_or_create(
            organization=organization, user=user, defaults={"role": role}
        )
        if is_new:
            _record("member.joined", membership, by=by, user_id=user_id, role=role)
    return membership, is_new


def change_role(membership: Membership, role: str, *, by: Actor | None, user_id: UUID | None = None) -> None:
    with transaction.atomic():
        membership = _locked(membership)
        if membership.role == role:
            return
        if role != Role.ADMIN:
            _keep_an_admin(membership)
        before, membership.role = membership.role, role
        membership.save(update_fields=["role", "updated_at"])
        _record("member.role_changed", membership, by=by, user_id=user_id, before=before, after=role)
        if may_review(before) and not may_review(role):
            _say_goodbye(membership)


def remove_member(membership: Membership, *, by: Actor | None, user_id: UUID | None = None) -> None:
    """End a membership: its tokens are revoked, and what waits for this person is released."""
    with transaction.atomic():
        membership = _locked(membership)
        _keep_an_admin(membership)
        organization, user = membership.organization, membership.user
        now = timezone.now()
        tokens = ApiToken.objects.filter(organization=organization, user=user, revoked_at__isnull=True)
        revoked = tokens.update(revoked_at=now, updated_at=now)
        _record("member.removed", membership, by=by, user_id=user_id, role=membership.role, tokens_revoked=revoked)
        membership.delete()
        _say_goodbye(membership)


def pass_on_work_of(user: User) -> None:
    """Pass on what waits for somebody who cannot sign in any more, in all their organisations."""
    with transaction.atomic():
        for membership in Membership.objects.filter(user=user).select_related("organization", "user"):
            _say_goodbye(membership)


def rename(organization: Organization, name: str, *, by: Actor) -> None:
    with transaction.atomic():
        before = Organization.objects.select_for_update().get(pk=organization.pk).name
        if before == name:
            return
        organization.name = name
        organization.save(update_fields=["name", "updated_at"])
        record_event("organization.renamed", organization, by=by, before=before, after=name)


def is_last_admin(membership: Membership) -> bool:
    admins = Membership.objects.filter(
        organization_id=membership.organization_id, role=Role.ADMIN, user__is_active=True
    )
    return membership.role == Role.ADMIN and not admins.exclude(pk=membership.pk).exists()


def may_review(role: str) -> bool:
    roles, _ = RIGHTS["review"]
    return role in roles


def _say_goodbye(membership: Membership) -> None:
    for goodbye in _goodbyes:
        goodbye(membership.user, membership.organization)


def _locked(membership: Membership) -> Membership:
    """The membership as it is now, changed by nobody else: two admins could else demote each other at once."""
    Organization.objects.select_for_update().get(pk=membership.organization_id)
    return Membership.objects.select_related("organization", "user").get(pk=membership.pk)


def _keep_an_admin(membership: Membership) -> None:
    if is_last_admin(membership):
        raise LastAdmin(membership.organization)


def _record(action: str, membership: Membership, *, by: Actor | None, user_id: UUID | None = None, **data: Any) -> None:
    record_event(
        action,
        membership.user,
        by=by,
        organization_id=membership.organization_id,
        user_id=user_id,
        **data,
    )
