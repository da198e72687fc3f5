"""What is asked: test sets, their cases, and the words that sort them."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Lower, Now

from evalhub.accounts.tenancy import Deletable, Named, Tenant, TenantQuerySet
from evalhub.database.fields import ChoiceField
from runs.models.projects import Project


class Word(Named):
    """A name of the organisation's own that sorts cases."""

    name = models.CharField(max_length=200)
    description = models.TextField(blank=True)

    class Meta(Named.Meta):
        abstract = True
        ordering = [Lower("name"), "id"]
        constraints = [
            *Named.Meta.constraints,
            models.UniqueConstraint(fields=["organization", "name"], name="%(class)s_name_once"),
        ]

    def __str__(self) -> str:
        return self.name


class Category(Word):
    class Meta(Word.Meta):
        verbose_name_plural = "categories"


class Topic(Word):
    class Meta(Word.Meta):
        pass


class Requirement(Word):
    """What the application should do; Rhesis called it a behavior before 0.13."""

    class Meta(Word.Meta):
        pass


class Prompt(Named):
    content = models.TextField()
    language_code = models.CharField(max_length=16, default="en")
    expected_response = models.TextField(null=True, blank=True)

    def __str__(self) -> str:
        return self.content[:80]


class TestSet(Deletable):
    __test__ = False  # not a pytest class

    class Kind(models.TextChoices):
        SINGLE_TURN = "Single-Turn", "Single-turn"
        MULTI_TURN = "Multi-Turn", "Multi-turn"

    deleted_paths = ("deleted_at", "project__deleted_at")
    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="test_sets")
    name = models.CharField(max_length=300)
    slug = models.SlugField(max_length=120, blank=True)
    description = models.TextField(blank=True)
    short_description = models.TextField(blank=True)
    kind = ChoiceField(max_length=16, choices=Kind.choices, default=Kind.SINGLE_TURN)
    is_golden = models.BooleanField(default=False, help_text="The project's own set: cases without another one.")
    revision = models.PositiveIntegerField(default=1, help_text="Rises with every change of its cases.")
    status = models.CharField(max_length=40, blank=True)
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    cases: models.ManyToManyField[Case, TestSetCase] = models.ManyToManyField(
        "Case", through="TestSetCase", related_name="test_sets"
    )

    class Meta(Deletable.Meta):
        ordering = [Lower("name"), "id"]
        constraints = [
            *Deletable.Meta.constraints,
            models.UniqueConstraint(
                fields=["project"], condition=Q(is_golden=True, deleted_at__isnull=True), name="one_golden_set"
            ),
        ]

    def __str__(self) -> str:
        return self.name

    def bump(self) -> None:
        """Say that its cases changed."""
        TestSet.objects.filter(pk=self.pk).update(revision=F("revision") + 1, updated_at=Now())


class Case(Deletable):
    deleted_paths = ("deleted_at", "project__deleted_at")
    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="cases", db_index=False)
    number = models.PositiveIntegerField()
    name = models.CharField(max_length=300, blank=True)
    kind = ChoiceField(max_length=16, choices=TestSet.Kind.choices, default=TestSet.Kind.SINGLE_TURN)
    inputs = models.JSONField(default=dict, help_text="An object; the key of a lone text is 'input'.")
    expected = models.JSONField(null=True, blank=True, help_text="An object, or null where nothing is expected.")
    plan = models.JSONField(null=True, blank=True, help_text="Multi-turn: goal, instructions, restrictions, turns.")
    prompt = models.ForeignKey(
        Prompt, null=True, blank=True, on_delete=models.SET_NULL, related_name="cases", db_index=False
    )
    category = models.ForeignKey(
        Category, null=True, blank=True, on_delete=models.SET_NULL, related_name="cases", db_index=False
    )
    topic = models.ForeignKey(
        Topic, null=True, blank=True, on_delete=models.SET_NULL, related_name="cases", db_index=False
    )
    requirement = models.ForeignKey(
        Requirement, null=True, blank=True, on_delete=models.SET_NULL, related_name="cases", db_index=False
    )
    revision = models.PositiveIntegerField(default=1)
    priority = models.PositiveIntegerField(null=True, blank=True)
    status = models.CharField(max_length=40, blank=True)
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+", db_index=False
    )
    assignee = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+", db_index=False
    )

    class Meta(Deletable.Meta):
        indexes = [
            models.Index(fields=["organization", "-created_at", "-id"], name="case_newest"),
            # Most cases that arrive are none of these, and need no place in their indexes.
            models.Index(fields=["organization"], condition=Q(archived_at__isnull=False), name="case_archived"),
            models.Index(fields=["id"], condition=Q(deleted_at__isnull=False), name="case_deleted"),
            *(
                models.Index(fields=[name], condition=Q((f"{name}__isnull", False)), name=f"case_by_{name}")
                for name in ("prompt", "category", "topic", "requirement", "owner", "assignee")
            ),
        ]
        constraints = [
            *Deletable.Meta.constraints,
            models.UniqueConstraint(fields=["project", "number"], name="case_number_once"),
        ]

    def __str__(self) -> str:
        return self.name or f"Case {self.number}"


class CaseRevision(Tenant):
    """A case as it was before it changed."""

    deleted_paths = ("case__deleted_at", "case__project__deleted_at")
    case = models.ForeignKey(Case, on_delete=models.CASCADE, related_name="revisions")
    number = models.PositiveIntegerField()
    inputs = models.JSONField(default=dict)
    expected = models.JSONField(null=True)

    objects = TenantQuerySet.as_manager()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["case", "number"], name="case_revision_once")]

    def __str__(self) -> str:
        return f"{self.case} r{self.number}"


class TestSetCase(models.Model):
    __test__ = False

    test_set = models.ForeignKey(TestSet, on_delete=models.CASCADE, related_name="memberships")
    case = models.ForeignKey(Case, on_delete=models.CASCADE, related_name="memberships")
    position = models.PositiveIntegerField(default=0)

    class Meta:
        ordering = ["position", "id"]
        constraints = [models.UniqueConstraint(fields=["test_set", "case"], name="case_once_in_a_set")]
        indexes = [models.Index(fields=["test_set", "position", "id"], name="cases_of_set_in_order")]

    def __str__(self) -> str:
        return f"{self.test_set_id} {self.position}"
