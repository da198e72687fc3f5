"""Links that make their holder a member."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from datetime import timedelta
from typing import Final

from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from evalhub.accounts.actor import Actor
from evalhub.accounts.members import join
from evalhub.accounts.models import Invitation, Membership, Organization, User, digest_of
from evalhub.audit.models import record_event

DAYS: Final = 7


class InvitationGone(Exception):
    """The link was used meanwhile, or has expired."""


def invite(
    organization: Organization, email: str, role: str, *, by: Actor | None = None, days: int = DAYS
) -> tuple[Invitation, str]:
    """An invitation and the secret of its link, which is stored nowhere; an older open one to the same address ends."""
    secret = secrets.token_urlsafe(32)
    with transaction.atomic():
        Organization.objects.select_for_update().get(pk=organization.pk)
        for older in open_invitations(organization).filter(email=email.lower()):
            withdraw(older, by=by)
        invitation = Invitation.objects.create(
            organization=organization,
            email=email.lower(),
            role=role,
            digest=digest_of(secret),
            invited_by=by.user if by else None,
            expires_at=timezone.now() + timedelta(days=days),
        )
        record_event("invitation.made", invitation, by=by, organization_id=organization.pk, role=role)
    return invitation, secret


def open_invitations(organization: Organization) -> QuerySet[Invitation]:
    return Invitation.objects.filter(organization=organization, accepted_at__isnull=True, expires_at__gt=timezone.now())


def withdraw(invitation: Invitation, *, by: Actor | None) -> None:
    record_event("invitation.withdrawn", invitation, by=by, organization_id=invitation.organization_id)
    invitation.delete()


def find_invitation(secret: str) -> Invitation | None:
    """The invitation of a link, whatever has become of it."""
    return Invitation.objects.select_related("organization", "invited_by").filter(digest=digest_of(secret)).first()


def accept(invitation: Invitation, user: User, *, save: Callable[[], object] | None = None) -> Membership:
    """Make the holder of the link a member, once; ``save`` keeps a user who is new here."""
    with transaction.atomic():
        try:
            invitation = Invitation.objects.select_for_update().get(pk=invitation.pk)
        except Invitation.DoesNotExist:
            raise InvitationGone from None
        if invitation.accepted_at is not None or invitation.is_expired:
            raise InvitationGone
        if save is not None:
            save()
        invitation.accepted_at, invitation.accepted_by = timezone.now(), user
        invitation.save(update_fields=["accepted_at", "accepted_by", "updated_at"])
        membership, _ = join(invitation.organization, user, invitation.role, user_id=user.pk)
        record_event(
            "invitation.accepted",
            invitation,
            by=None,
            organization_id=invitation.organization_id,
            user_id=user.pk,
            email=invitation.email,
            role=membership.role,
        )
    return membership
