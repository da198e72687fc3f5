"""The plain values that pages hand to the components of templates/components."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from evalhub.web.formats import initials


@dataclass(frozen=True, slots=True)
class Link:
    """One entry of a segmented control, a row of tabs, a menu or the crumbs."""

    label: str
    url: str = ""
    current: bool = False
    count: int | None = None
    icon: str = ""
    key: str = ""


@dataclass(frozen=True, slots=True)
class Chip:
    """One filter that is on: key is value, removed by the cross, changed where ``change`` (an element id) opens."""

    key: str
    value: str
    remove_url: str
    change: str = ""


@dataclass(frozen=True, slots=True)
class Stat:
    """One figure of the strip; ``lead`` is the one to decide by, ``tone`` is up, down or nothing."""

    label: str
    value: str
    small: str = ""
    note: str = ""
    url: str = ""
    lead: bool = False
    tone: str = ""


@dataclass(frozen=True, slots=True)
class Look:
    """How an outcome or a state is shown: its colour role, icon and word."""

    role: str
    icon: str
    word: str
    calm: bool = False


HUES = "abcde"


def hue(identity: object) -> str:
    """One of five colours, the same for a person everywhere."""
    if isinstance(identity, UUID):
        return HUES[identity.int % len(HUES)]
    return HUES[sum(str(identity).encode("utf-8", "replace")) % len(HUES)]


def face(identity: object, name: str | None) -> dict[str, str] | None:
    """A person in a row of a long list: name, initials and colour; nothing for nobody."""
    return {"name": name, "initials": initials(name), "hue": hue(identity)} if identity and name else None


OUTCOMES: dict[str, Look] = {
    "passed": Look("pass", "pass", "Pass", calm=True),
    "failed": Look("fail", "fail", "Fail"),
    "error": Look("error", "error", "Error"),
    "unjudged": Look("pending", "pending", "Unjudged", calm=True),
    "conflict": Look("conflict", "conflict", "Conflict"),
    "review": Look("review", "needs", "Needs review"),
    "open": Look("pending", "pending", "Open", calm=True),
    "pending": Look("pending", "pending", "Pending", calm=True),
    "cant_tell": Look("cant", "cant", "Can’t tell"),
    "running": Look("running", "running", "Running"),
    "unscored": Look("pending", "pending", "No score", calm=True),
}
OUTCOMES |= {
    "pass": OUTCOMES["passed"],
    "fail": OUTCOMES["failed"],
    "unclear": OUTCOMES["cant_tell"],
    "cant": OUTCOMES["cant_tell"],
    "scored": Look("pass", "check", "Scored", calm=True),
}

STATES: dict[str, Look] = {
    # runs and imports
    "queued": Look("pending", "pending", "Queued", calm=True),
    "running": Look("running", "running", "Running"),
    "completed": Look("pass", "check", "Completed", calm=True),
    "partial": Look("review", "needs", "Partial"),
    "failed": Look("error", "error", "Failed"),
    "cancelled": Look("pending", "skip", "Cancelled", calm=True),
    # rounds and assignments
    "open": Look("pending", "pending", "Open", calm=True),
    "started": Look("running", "edit", "Started"),
    "in_progress": Look("running", "edit", "In progress"),
    "done": Look("pass", "check", "Done", calm=True),
    "submitted": Look("pass", "check", "Done", calm=True),
    "closed": Look("pass", "check", "Closed", calm=True),
    "declined": Look("error", "skip", "Declined"),
    "withdrawn": Look("pending", "minus", "Withdrawn", calm=True),
    "expired": Look("review", "clock", "Expired"),
    "overdue": Look("fail", "clock", "Overdue"),
    "due": Look("review", "clock", "Due"),
    "archived": Look("pending", "archive", "Archived", calm=True),
}
