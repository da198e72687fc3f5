"""Ids inside addresses."""

from __future__ import annotations

from django.urls import register_converter


class IdConverter:
    """An id of ours, or one that a client chose: anything in one step of the path that can be printed."""

    regex = r"[^/\x00-\x1f\x7f-\x9f]{1,255}"

    def to_python(self, value: str) -> str:
        return value

    def to_url(self, value: object) -> str:
        return str(value)


register_converter(IdConverter, "ident")
