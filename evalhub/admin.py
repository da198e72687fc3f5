"""The queue in the operators' console: procrastinate's own pages count without end and draw with inline styles."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from procrastinate.contrib.django import app
from procrastinate.contrib.django.models import ProcrastinateEvent, ProcrastinateJob
from procrastinate.jobs import Status
from procrastinate.utils import utcnow

from evalhub.accounts.console import EvidenceAdmin

admin.site.unregister(ProcrastinateJob)


class EventsInline(admin.TabularInline):
    model = ProcrastinateEvent
    fields = readonly_fields = ("at", "type")
    ordering = ("id",)
    can_delete = False
    extra = 0

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(ProcrastinateJob)
class JobAdmin(EvidenceAdmin):
    list_display = ("id", "task_name", "status", "queue_name", "attempts", "scheduled_at")
    list_filter = ("status",)
    list_loads = ("args", "lock", "queueing_lock")
    search_fields = ("id__exact",)
    search_help_text = "The number of a job."
    inlines = (EventsInline,)
    actions = ("retry", "cancel")

    @admin.action(description="Try the selected failed jobs again")
    def retry(self, request: HttpRequest, queryset: Any) -> None:
        jobs = list(queryset.filter(status=Status.FAILED.value))
        for job in jobs:
            app.job_manager.retry_job_by_id(job.id, utcnow(), job.priority, job.queue_name, job.lock)
            self._record("job_retried", request, None, job=job.id, task=job.task_name)
        self.message_user(request, f"{len(jobs)} will be tried again.")

    @admin.action(description="Cancel the selected waiting jobs")
    def cancel(self, request: HttpRequest, queryset: Any) -> None:
        cancelled = [
            job
            for job in queryset.filter(status=Status.TODO.value)
            if app.job_manager.cancel_job_by_id(job.id, abort=False)
        ]
        for job in cancelled:
            self._record("job_cancelled", request, None, job=job.id, task=job.task_name)
        self.message_user(request, f"{len(cancelled)} cancelled.")
