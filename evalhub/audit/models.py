"""Who did what, when: rows are only ever added."""

from __future__ import annotations

from typing import Any, ClassVar
from uuid import UUID

from django.conf import settings
from django.db import models

from evalhub.accounts.actor import Actor
from evalhub.accounts.tenancy import TenantQuerySet
from evalhub.database.ids import new_id
from evalhub.database.writing import insert_row


class AuditEvent(models.Model):
    deleted_paths: ClassVar[tuple[str, ...]] = ()
    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    organization = models.ForeignKey(
        "accounts.Organization", null=True, on_delete=models.CASCADE, related_name="+", db_index=False
    )
    user = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+")
    token = models.ForeignKey("accounts.ApiToken", null=True, on_delete=models.SET_NULL, related_name="+")
    action = models.CharField(max_length=60)
    entity_type = models.CharField(max_length=40, blank=True)
    entity_id = models.UUIDField(null=True)
    entity_label = models.CharField(max_length=200, blank=True)
    data = models.JSONField(default=dict, blank=True)
    at = models.DateTimeField(auto_now_add=True)

    objects = TenantQuerySet.as_manager()

    class Meta:
        indexes = [
            models.Index(fields=["organization", "-id"], name="audit_newest"),
            models.Index(fields=["entity_type", "entity_id", "-id"], name="audit_of_entity"),
        ]

    def __str__(self) -> str:
        return self.action


def record_event(action: str, entity: models.Model | None = None, **what: Any) -> None:
    """Add one event, as ``event_of`` makes it."""
    insert_row(event_of(action, entity, **what))


def event_of(
    action: str,
    entity: models.Model | None = None,
    *,
    by: Actor | None,
    organization_id: UUID | None = None,
    user_id: UUID | None = None,
    label: str | None = None,
    **data: Any,
) -> AuditEvent:
    """Not yet kept; ``by`` is None for what the system or a signed-out visitor does. ``label``: the entity's name."""
    return AuditEvent(
        organization_id=by.organization_id if by else organization_id,
        user_id=by.user.pk if by else user_id,
        token=by.token if by else None,
        action=action,
        entity_type=(entity._meta.model_name or "") if entity else "",
        entity_id=entity.pk if entity else None,
        entity_label=(str(entity) if label is None else label)[:200] if entity else "",
        data=data,
    )
