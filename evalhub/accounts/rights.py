"""Who may do what: the one table that the code asks and the tests read.

An action is allowed when the actor's role is listed and, for a token, when one of the token's scopes is.
"""

from typing import Final

from django.db import models


class Role(models.TextChoices):
    ADMIN = "admin", "Admin"
    LEAD = "lead", "Evaluation lead"
    REVIEWER = "reviewer", "Reviewer"
    VIEWER = "viewer", "Viewer"


class Scope(models.TextChoices):
    READ = "read", "Read everything the role may read"
    RECORD = "record", "Record runs, results and evaluations"
    REVIEW = "review", "Review and comment as the token's user"
    MANAGE = "manage", "Everything else the role may do, except members and tokens"


EVERYBODY: Final = frozenset(Role)
REVIEWERS: Final = frozenset({Role.ADMIN, Role.LEAD, Role.REVIEWER})
LEADS: Final = frozenset({Role.ADMIN, Role.LEAD})
ADMINS: Final = frozenset({Role.ADMIN})

# action: (roles, scopes that let a token do it; an empty set means never through a token)
RIGHTS: Final[dict[str, tuple[frozenset[Role], frozenset[Scope]]]] = {
    "read": (EVERYBODY, frozenset(Scope)),
    "export": (EVERYBODY, frozenset({Scope.READ, Scope.MANAGE})),
    "save_view": (EVERYBODY, frozenset({Scope.MANAGE})),
    "comment": (REVIEWERS, frozenset({Scope.REVIEW, Scope.MANAGE})),
    "review": (REVIEWERS, frozenset({Scope.REVIEW})),
    "assign": (LEADS, frozenset({Scope.MANAGE})),
    "record": (LEADS, frozenset({Scope.RECORD})),
    "import": (LEADS, frozenset({Scope.RECORD})),
    "launch": (LEADS, frozenset({Scope.RECORD, Scope.MANAGE})),
    "archive": (LEADS, frozenset({Scope.MANAGE})),
    "set_up": (LEADS, frozenset({Scope.MANAGE})),
    "manage_members": (ADMINS, frozenset()),
    "manage_tokens": (ADMINS, frozenset()),
    "manage_organization": (ADMINS, frozenset()),
    "read_audit": (ADMINS, frozenset({Scope.MANAGE})),
}
