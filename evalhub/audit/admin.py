"""The audit trail in the operators' console: to read, never to change."""

from django.contrib import admin

from evalhub.accounts.console import EvidenceAdmin
from evalhub.audit.models import AuditEvent


@admin.register(AuditEvent)
class AuditEventAdmin(EvidenceAdmin):
    list_display = ("at", "action", "user", "organization", "entity_type", "entity_label")
    search_fields = ("id__exact", "entity_id__exact", "user__email__exact")
    search_help_text = "The id of a thing or of an event, or the e-mail address of who did it."
