"""Why a file cannot be imported, in words for people; and how much a file may ask for."""

from __future__ import annotations

from dataclasses import dataclass

from django.conf import settings

MEGABYTE = 1024 * 1024


class ImportProblem(Exception):
    """One sentence that names the place and the fault. Nothing of the file is imported."""

    def __init__(self, fault: str, *, place: str = "") -> None:
        self.fault, self.place = fault, place
        super().__init__(f"{place} {fault}" if place else fault)


@dataclass(frozen=True, slots=True)
class Limits:
    """Overridable by the setting IMPORT_LIMITS, a mapping of these names."""

    file_bytes: int = 200 * MEGABYTE
    record_bytes: int = 32 * MEGABYTE
    depth: int = 100
    members: int = 200_000
    expansion: int = 200
    expansion_from_bytes: int = 64 * MEGABYTE

    @classmethod
    def current(cls) -> Limits:
        return cls(**getattr(settings, "IMPORT_LIMITS", {}))


def megabytes(count: int) -> str:
    return f"{count / MEGABYTE:,.0f} MB" if count >= MEGABYTE else f"{count:,} bytes"
