"""Columns that hold themselves to what they are for."""

from typing import Any

from django.db import models
from django.db.models import Q


class KnownWord(models.CheckConstraint):
    def validate(self, *args: Any, **options: Any) -> None:
        """Forms have asked the field already: no need to ask the database."""


class ChoiceField(models.CharField):
    """One of ``choices`` ("" too where it is ``blank``), and the database refuses every other word."""

    def contribute_to_class(self, cls: type[models.Model], name: str, private_only: bool = False) -> None:
        super().contribute_to_class(cls, name, private_only)
        meta = cls._meta
        if meta.abstract or cls.__module__ == "__fake__":  # a migration's model has its constraints from the migration
            return
        words = [word for word, _ in self.flatchoices]
        known = Q(**{f"{name}__in": ["", *words] if self.blank and "" not in words else words})
        meta.constraints = [*meta.constraints, KnownWord(condition=known, name=f"{meta.model_name}_{name}_known")]
        meta.original_attrs["constraints"] = meta.constraints
