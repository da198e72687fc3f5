"""Rows that belong to one organisation, and the one question every fetch starts from."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import cache, reduce
from operator import or_
from typing import TYPE_CHECKING, Any, ClassVar, Self
from uuid import UUID

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q, QuerySet
from django.db.models.functions import Now
from django.utils import timezone

from evalhub.database.models import Record
from evalhub.database.prepared import Prepared

if TYPE_CHECKING:
    from evalhub.accounts.actor import Actor


class TenantQuerySet[T: models.Model](models.QuerySet[T]):
    """Rows of one organisation. ``gone`` names the ancestors whose deletion hides a row."""

    def visible_to(self, actor: Actor | None) -> Self:
        """The rows of the actor's organisation that are not deleted; nothing for nobody."""
        return self.none() if actor is None else self.visible_in(actor.organization.pk)

    def visible_in(self, organization_id: UUID) -> Self:
        """What the members of an organisation may see."""
        alive = {f"{path}__isnull": True for path in getattr(self.model, "deleted_paths", ())}
        return self.filter(organization=organization_id, **alive)

    def with_id(self, value: object) -> Self:
        """Rows named by our id or by the client's own (``external_id``); UUIDs are compared without case."""
        return self.with_ids([value])

    def with_ids(self, values: Iterable[object]) -> Self:
        return self.filter(of_ids(*meanings(values)))

    def by_id(self, value: object) -> T | None:
        """The row that the id means."""
        return best_of(self.with_id(value), value)


def meanings(values: Iterable[object]) -> tuple[list[UUID], list[str]]:
    """What ids may mean: our own, and the senders', which are taken as written and in lower case."""
    texts = [str(value).strip() for value in values]
    texts = [text for text in texts if "\0" not in text]  # PostgreSQL has no such character, so no row has it
    spelled = dict.fromkeys(form for text in texts for form in (text, text.lower()))
    return [pk for text in texts if (pk := parse_uuid(text))], list(spelled)


def of_ids(ids: list[UUID], spelled: list[str]) -> Q:
    return Q(pk__among=ids) | Q(external_id__among=spelled)


def best_of[R](rows: Iterable[R], value: object) -> R | None:
    """Our id first, then the sender's as it is written, then in lower case. Rows are instances or dicts."""
    text = str(value).strip()
    own = parse_uuid(text)

    def rank(row: Any) -> int:
        there = row if isinstance(row, dict) else vars(row)
        return 0 if own is not None and there["id"] == own else 1 if there.get("external_id") == text else 2

    return min(rows, key=rank, default=None)


def without_heavy(rows: QuerySet[Any]) -> QuerySet[Any]:
    """Without the columns that a view loads only to show them."""
    return rows.defer(*getattr(rows.model, "HEAVY", ()))


def find_row(
    model: Any, organization_id: UUID, value: object, shape: Callable[[QuerySet[Any]], QuerySet[Any]] = without_heavy
) -> Any | None:
    """``by_id``, written once: most requests ask it. ``shape`` says what of the visible row is read."""
    text = str(value).strip()
    if "\0" in text:
        return None
    spelled = (text, text.lower()) if hasattr(model, "external_id") else ()
    return best_of(_one(model, shape)(organization_id, parse_uuid(text), *spelled), text)


@cache
def _one(model: Any, shape: Callable[[QuerySet[Any]], QuerySet[Any]]) -> Prepared[Any]:
    # Three comparisons: PostgreSQL keeps no plan of "any of a list", as it would not know how long that is.
    def build(organization: UUID, own: UUID, *spelled: str) -> QuerySet[Any]:
        wanted = reduce(or_, (Q(external_id=text) for text in spelled), Q(pk=own))
        return shape(model._default_manager.visible_in(organization).filter(wanted))

    return Prepared(build, UUID, UUID, *[str] * (2 * hasattr(model, "external_id")))


def find_rows(model: Any, organization_id: UUID, values: Sequence[str], words: tuple[str, ...] = ()) -> list[Any]:
    """``with_ids``, written once; ``words`` are columns that name rows, too."""
    return _many(model, words)(organization_id, *meanings(values), *[list(values)] * bool(words))


@cache
def _many(model: Any, words: tuple[str, ...]) -> Prepared[Any]:
    def build(organization: UUID, ids: list[UUID], spelled: list[str], *names: list[str]) -> QuerySet[Any]:
        wanted = reduce(or_, (Q((f"{column}__among", names[0])) for column in words), of_ids(ids, spelled))
        return without_heavy(model._default_manager.visible_in(organization).filter(wanted))

    return Prepared(build, UUID, list, list, *[list] * bool(words))


class DeletableQuerySet[T: models.Model](TenantQuerySet[T]):
    def release(self, organization_id: UUID, external_ids: Iterable[str]) -> int:
        """Rows that are gone with what they belong to give these ids up: their senders may use them again."""
        above = [path for path in getattr(self.model, "deleted_paths", ()) if path != "deleted_at"]
        if not above:
            return 0
        gone = reduce(or_, (Q(**{f"{path}__isnull": False}) for path in above))
        named = self.filter(gone, organization=organization_id, external_id__in=list(external_ids))
        return named.update(external_id=None)

    def current(self) -> Self:
        """Neither archived nor deleted."""
        return self.filter(archived_at__isnull=True, deleted_at__isnull=True)

    def archived(self) -> Self:
        return self.filter(archived_at__isnull=False, deleted_at__isnull=True)

    def archive(self) -> int:
        return self.filter(archived_at__isnull=True).update(archived_at=Now(), updated_at=Now())

    def restore(self) -> int:
        return self.filter(archived_at__isnull=False).update(archived_at=None, updated_at=Now())


class Tenant(Record):
    """A row of one organisation."""

    deleted_paths: ClassVar[tuple[str, ...]] = ()
    # No index of its own: the composite ones that lists need start with it.
    organization = models.ForeignKey(
        "accounts.Organization", on_delete=models.CASCADE, related_name="+", db_index=False
    )

    class Meta:
        abstract = True


class Named(Tenant):
    """A row that a client can name by an id of its own."""

    external_id = models.TextField(null=True, blank=True, help_text="The sender's own id, unique in the organisation.")

    objects = TenantQuerySet.as_manager()

    class Meta:
        abstract = True
        constraints = [
            models.UniqueConstraint(fields=["organization", "external_id"], name="%(class)s_external_id_once")
        ]

    @property
    def public_id(self) -> str:
        """What doors give back: the sender's id where it chose one, else ours."""
        return self.external_id or str(self.pk)


class Deletable(Tenant):
    """A named row that is archived (out of the lists) or deleted (gone for everybody, kept for history)."""

    deleted_paths: ClassVar[tuple[str, ...]] = ("deleted_at",)
    external_id = models.TextField(null=True, blank=True, help_text="The sender's own id, unique in the organisation.")
    archived_at = models.DateTimeField(null=True, blank=True)
    deleted_at = models.DateTimeField(null=True, blank=True)
    tags = ArrayField(models.CharField(max_length=80), default=list, blank=True)
    metadata = models.JSONField(default=dict, blank=True, help_text="Typed values, shown: {key: {type, ...}}.")
    attributes = models.JSONField(default=dict, blank=True, help_text="Free values of clients, kept as they came.")

    objects = DeletableQuerySet.as_manager()

    class Meta:
        abstract = True
        constraints = [
            models.UniqueConstraint(
                fields=["organization", "external_id"],
                condition=Q(deleted_at__isnull=True),
                name="%(class)s_external_id_once",
            )
        ]

    @property
    def public_id(self) -> str:
        """What doors give back: the sender's id where it chose one, else ours."""
        return self.external_id or str(self.pk)

    def save(self, *args: Any, **options: Any) -> None:
        if self._state.adding and self.external_id:
            type(self)._default_manager.release(self.organization_id, [self.external_id])
        super().save(*args, **options)

    def archive(self) -> None:
        self._stamp(archived_at=timezone.now())

    def restore(self) -> None:
        self._stamp(archived_at=None)

    def mark_deleted(self) -> None:
        self._stamp(deleted_at=timezone.now())

    def _stamp(self, **values: Any) -> None:
        for name, value in values.items():
            setattr(self, name, value)
        self.save(update_fields=[*values, "updated_at"])


def parse_uuid(text: str) -> UUID | None:
    """The UUID that ``text`` spells canonically (ASCII, hyphens, any case), else None."""
    if len(text) != 36 or not text.isascii():
        return None
    try:
        value = UUID(text)
    except ValueError:
        return None
    return value if str(value) == text.lower() else None


def normal_external_id(value: object) -> str:
    """External ids as they are stored: UUIDs in lower case, everything else as it came."""
    text = str(value)
    return text.lower() if parse_uuid(text) else text
