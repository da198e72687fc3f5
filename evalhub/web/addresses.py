"""Ids in addresses: ours, or the sender's own."""

from __future__ import annotations

from django.urls import register_converter


class IdConverter:
    """What may be an id: no slash, no control character (PostgreSQL has no NUL), not endless."""

    regex = r"[^/\x00-\x1f\x7f]{1,255}"

    def to_python(self, value: str) -> str:
        return value

    def to_url(self, value: object) -> str:
        return str(value)


register_converter(IdConverter, "id")
