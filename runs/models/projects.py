"""The application under test, and the addresses that answer for it."""

from __future__ import annotations

from typing import Any, ClassVar

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Lower

from evalhub.accounts.models import Organization
from evalhub.accounts.tenancy import Deletable, Named
from evalhub.database.fields import ChoiceField
from evalhub.database.secrets import open_sealed, seal


class Folder(Named):
    name = models.CharField(max_length=200)
    parent = models.ForeignKey("self", null=True, blank=True, on_delete=models.CASCADE, related_name="folders")

    def __str__(self) -> str:
        return self.name


class Project(Deletable):
    name = models.CharField(max_length=200)
    slug = models.SlugField(max_length=120)
    description = models.TextField(blank=True)
    labels = ArrayField(models.CharField(max_length=80), default=list, blank=True)
    icon = models.CharField(max_length=80, blank=True)
    branch = models.CharField(max_length=200, blank=True)
    folder = models.ForeignKey(Folder, null=True, blank=True, on_delete=models.SET_NULL, related_name="projects")
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    is_default = models.BooleanField(default=False, help_text="Takes what arrives without a project.")
    last_run_number = models.PositiveIntegerField(default=0, editable=False)
    last_case_number = models.PositiveIntegerField(default=0, editable=False)

    class Meta(Deletable.Meta):
        ordering = [Lower("name"), "id"]
        constraints = [
            *Deletable.Meta.constraints,
            models.UniqueConstraint(
                fields=["organization", "slug"], condition=Q(deleted_at__isnull=True), name="project_slug_once"
            ),
            models.UniqueConstraint(
                fields=["organization"],
                condition=Q(is_default=True, deleted_at__isnull=True),
                name="one_default_project",
            ),
        ]

    def __str__(self) -> str:
        return self.name

    def take_numbers(self, counter: str, count: int) -> range:
        """The next ``count`` run or case numbers; the row stays locked until the transaction ends."""
        Project.objects.filter(pk=self.pk).update(**{counter: F(counter) + count})
        last: int = Project.objects.values_list(counter, flat=True).get(pk=self.pk)
        return range(last - count + 1, last + 1)

    @classmethod
    def default_of(cls, organization: Organization) -> Project:
        """The organisation's default project, made when first needed."""
        project, _ = cls.objects.get_or_create(
            organization=organization,
            is_default=True,
            deleted_at=None,
            defaults={"name": "Default", "slug": "default"},
        )
        return project


class Endpoint(Deletable):
    class Connection(models.TextChoices):
        REST = "REST", "REST"
        WEBSOCKET = "WebSocket", "WebSocket"
        GRPC = "GRPC", "gRPC"
        SDK = "SDK", "SDK"

    class Auth(models.TextChoices):
        NONE = "", "None"
        BEARER = "bearer_token", "Bearer token"
        API_KEY = "api_key", "API key"
        CLIENT_CREDENTIALS = "client_credentials", "Client credentials"

    class Environment(models.TextChoices):
        PRODUCTION = "production", "Production"
        STAGING = "staging", "Staging"
        DEVELOPMENT = "development", "Development"
        LOCAL = "local", "Local"

    class Format(models.TextChoices):
        JSON = "json", "JSON"
        XML = "xml", "XML"
        TEXT = "text", "Text"

    deleted_paths = ("deleted_at", "project__deleted_at")
    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="endpoints")
    name = models.CharField(max_length=200)
    description = models.TextField(blank=True)
    connection_type = ChoiceField(max_length=16, choices=Connection.choices, default=Connection.REST)
    url = models.TextField(blank=True)
    method = models.CharField(max_length=8, default="POST")
    endpoint_path = models.TextField(blank=True)
    request_headers = models.JSONField(default=dict, blank=True)
    query_params = models.JSONField(default=dict, blank=True)
    request_mapping = models.JSONField(default=dict, blank=True)
    response_mapping = models.JSONField(default=dict, blank=True)
    response_format = ChoiceField(max_length=8, choices=Format.choices, default=Format.JSON)
    auth_type = ChoiceField(max_length=32, choices=Auth.choices, default=Auth.NONE, blank=True)
    client_id = models.CharField(max_length=300, blank=True)
    token_url = models.TextField(blank=True)
    scopes = ArrayField(models.CharField(max_length=200), default=list, blank=True)
    sealed_secrets = models.BinaryField(null=True, editable=False)
    environment = ChoiceField(max_length=16, choices=Environment.choices, default=Environment.DEVELOPMENT)
    timeout_seconds = models.PositiveIntegerField(default=30)
    max_concurrency = models.PositiveIntegerField(default=8)
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )

    SECRETS: ClassVar[tuple[str, ...]] = ("auth_token", "client_secret")

    class Meta(Deletable.Meta):
        ordering = [Lower("name"), "id"]

    def __str__(self) -> str:
        return self.name

    @property
    def secrets(self) -> dict[str, str]:
        """The stored secrets in clear, for the one place that calls the endpoint; never for an answer."""
        return open_sealed(bytes(self.sealed_secrets)) if self.sealed_secrets else {}

    def keep_secrets(self, **values: str) -> None:
        """Add or replace secrets; an empty value forgets one. Saves nothing."""
        kept = {name: value for name, value in {**self.secrets, **values}.items() if value}
        self.sealed_secrets = seal(kept) if kept else None

    @property
    def has_auth_token(self) -> bool:
        return "auth_token" in self.secrets

    def snapshot(self) -> dict[str, Any]:
        """What a run remembers of the endpoint, without secrets."""
        return {"id": str(self.pk), "name": self.name, "url": self.url, "environment": self.environment}
