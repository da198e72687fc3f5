"""Short names for addresses."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from django.utils.text import slugify

LENGTH = 80


def free_slug(rows: QuerySet[Any], name: str, *, fallback: str) -> str:
    """The slug of ``name`` that none of ``rows`` has: support-bot, support-bot-2, ..."""
    base = slugify(name)[:LENGTH].strip("-_") or fallback
    taken = set(rows.filter(slug__startswith=base).values_list("slug", flat=True))
    slug, n = base, 1
    while slug in taken:
        n += 1
        slug = f"{base}-{n}"
    return slug
