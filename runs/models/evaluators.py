"""Ways of judging."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.db.models.functions import Lower

from evalhub.accounts.tenancy import Deletable, Tenant, TenantQuerySet
from evalhub.database.fields import ChoiceField
from runs.models.projects import Project


class Evaluator(Deletable):
    class Who(models.TextChoices):
        AI = "ai", "AI judge"
        HEURISTIC = "heuristic", "Heuristic"
        HUMAN = "human", "Human"
        CLASSIFIER = "classifier", "Classifier"

    class ValueType(models.TextChoices):
        LABEL = "label", "Label"
        PERCENTAGE = "percentage", "Percentage (0 to 1)"
        NUMBER = "number", "Number"

    class Direction(models.TextChoices):
        HIGHER = "higher", "Higher is better"
        LOWER = "lower", "Lower is better"
        NONE = "none", "Neither"

    class Operator(models.TextChoices):
        AT_LEAST = ">=", "at least"
        ABOVE = ">", "above"
        AT_MOST = "<=", "at most"
        BELOW = "<", "below"
        EQUAL = "=", "equal to"
        UNEQUAL = "!=", "other than"

    class Origin(models.TextChoices):
        OWN = "own", "Set up here"
        LOCAL = "local", "Came with results"
        IMPORT = "import", "Came with an import"

    deleted_paths = ("deleted_at", "project__deleted_at")
    project = models.ForeignKey(
        Project,
        null=True,
        blank=True,
        on_delete=models.CASCADE,
        related_name="evaluators",
        help_text="None: a template.",
    )
    name = models.CharField(max_length=200)
    description = models.TextField(blank=True)
    who = ChoiceField(max_length=16, choices=Who.choices, default=Who.HEURISTIC)
    value_type = ChoiceField(max_length=16, choices=ValueType.choices, default=ValueType.PERCENTAGE)
    options = models.JSONField(
        default=list, blank=True, help_text="Labels in order: [{label, value (0 to 1), passes (true, false or null)}]."
    )
    direction = ChoiceField(max_length=8, choices=Direction.choices, default=Direction.HIGHER)
    threshold = models.FloatField(null=True, blank=True)
    operator = ChoiceField(max_length=2, choices=Operator.choices, default=Operator.AT_LEAST)
    min_score = models.FloatField(null=True, blank=True)
    max_score = models.FloatField(null=True, blank=True)
    weight = models.FloatField(default=1, help_text="0: informative only, gives no verdict.")
    definition = models.JSONField(
        default=dict, blank=True, help_text="How it judges: model, prompt, heuristic and its settings, question."
    )
    version = models.PositiveIntegerField(default=1)
    origin = ChoiceField(max_length=8, choices=Origin.choices, default=Origin.OWN)
    icon = models.CharField(max_length=80, blank=True)
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    requirements: models.ManyToManyField[Any, Any] = models.ManyToManyField(
        "runs.Requirement", blank=True, related_name="evaluators"
    )

    class Meta(Deletable.Meta):
        ordering = [Lower("name"), "id"]
        constraints = [
            *Deletable.Meta.constraints,
            models.UniqueConstraint(
                fields=["project", "name"],
                condition=~Q(origin="own") & Q(deleted_at__isnull=True),
                name="arrived_evaluator_name_once",
            ),
        ]

    def __str__(self) -> str:
        return self.name

    def verdict(self, value: float | None, label: str | None = None, *, threshold: float | None = None) -> bool | None:
        """Whether a judgement passes; None where this evaluator gives none (weight 0, no threshold, unknown option).

        ``threshold`` is one that came with the judgement, in place of the evaluator's own.
        """
        limit = self.threshold if threshold is None else threshold
        if self.weight == 0:
            return None
        if self.value_type == self.ValueType.LABEL and self.options:
            if label is None:
                return None
            folded = label.casefold()
            for option in self.options:
                if str(option.get("label", "")).casefold() == folded:
                    passes: bool | None = option.get("passes")
                    return passes
            return None
        if value is None or limit is None:
            return None
        return {
            ">=": value >= limit,
            ">": value > limit,
            "<=": value <= limit,
            "<": value < limit,
            "=": value == limit,
            "!=": value != limit,
        }[self.operator]

    def option_value(self, label: str) -> float | None:
        """The share (0 to 1) that a label stands for; None for an unknown label."""
        for option in self.options:
            if option.get("label") == label:
                value = option.get("value")
                return None if value is None else float(value)
        return None

    def snapshot(self) -> dict[str, Any]:
        """What a version remembers."""
        return {
            "name": self.name,
            "who": self.who,
            "value_type": self.value_type,
            "options": self.options,
            "direction": self.direction,
            "threshold": self.threshold,
            "operator": self.operator,
            "min_score": self.min_score,
            "max_score": self.max_score,
            "weight": self.weight,
            "definition": self.definition,
        }


class EvaluatorVersion(Tenant):
    """An evaluator as it was before it changed."""

    deleted_paths = ("evaluator__deleted_at", "evaluator__project__deleted_at")
    evaluator = models.ForeignKey(Evaluator, on_delete=models.CASCADE, related_name="versions")
    number = models.PositiveIntegerField()
    definition = models.JSONField(default=dict)

    objects = TenantQuerySet.as_manager()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["evaluator", "number"], name="evaluator_version_once")]

    def __str__(self) -> str:
        return f"{self.evaluator} v{self.number}"
