"""From the ids that clients send to the rows that the actor may see."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.db.models import Model
from django.http import Http404

from evalhub.accounts.actor import Actor
from evalhub.accounts.models import Membership, User
from evalhub.accounts.tenancy import find_row, parse_uuid, without_heavy
from evalhub.api.problems import invalid
from evalhub.api.rows import Row
from evalhub.api.shapes import Ident, Path, misfit

NO_SUCH = "is not the id of anything that you can see"


def find(model: type[Model], actor: Actor, ident: str, shown: Row | None = None) -> Any | None:
    """The row, without its heavy columns; or the values that ``shown`` needs."""
    return find_row(model, actor.organization_id, ident, shown.select if shown else without_heavy)


def get(model: type[Model], actor: Actor, ident: str, *, lock: bool = False) -> Any:
    """The row, or 404; locked until the transaction ends where it is going to change."""
    row = find(model, actor, ident)
    if row is None:
        raise Http404
    if lock:
        locked = model._default_manager.select_for_update(of=("self",), no_key=True).filter(pk=row.pk).first()
        if locked is None or getattr(locked, "deleted_at", None) is not None:
            raise Http404
        return locked
    return row


def get_values(shown: Row, model: type[Model], actor: Actor, ident: str) -> dict[str, Any]:
    """What the answer needs of the row, or 404."""
    found: dict[str, Any] | None = find(model, actor, ident, shown)
    if found is None:
        raise Http404
    return found


@dataclass(frozen=True, kw_only=True, slots=True)
class Ref(Ident):
    """A thing in a body: read as text, then looked up by ``resolve``."""

    model: type[Model]
    words: tuple[str, ...] = ()  # columns that name it too


@dataclass(frozen=True, kw_only=True, slots=True)
class Member(Ident):
    """A colleague: by id or e-mail address."""

    most: int = 254


def resolve(fields: Mapping[str, Any], values: dict[str, Any], actor: Actor) -> dict[str, Any]:
    """The values with rows in place of ids; 400 names each that finds nothing."""
    found, problems = dict(values), list[tuple[Path, str]]()
    for name, value in values.items():
        field = fields[name]
        many = getattr(field, "of", None)
        if value is None:
            continue
        if isinstance(field, Ref | Member):
            found[name] = look_up(field, actor, value)
            if found[name] is None:
                problems.append(((name,), NO_SUCH))
        elif isinstance(many, Ref | Member):
            found[name] = look_up_all(many, actor, value)
            problems += [((name, n), NO_SUCH) for n, row in enumerate(found[name]) if row is None]
    if problems:
        raise invalid(problems)
    return found


def look_up(field: Ref | Member, actor: Actor, ident: str) -> Any | None:
    if isinstance(field, Member):
        return member(actor, ident)
    row = find(field.model, actor, ident)
    for column in field.words:
        if row is None:
            row = field.model._default_manager.visible_to(actor).filter(**{column: ident}).first()  # type: ignore[attr-defined]
    return row


def look_up_all(field: Ref | Member, actor: Actor, idents: list[str]) -> list[Any | None]:
    """Each in its place; one query for ids of ours, one for all others."""
    if isinstance(field, Member):
        return [member(actor, ident) for ident in idents]
    visible: Any = field.model._default_manager.visible_to(actor)  # type: ignore[attr-defined]
    own = {ident: parse_uuid(ident) for ident in idents}
    by_pk = {row.pk: row for row in visible.filter(pk__in=[pk for pk in own.values() if pk])}
    by_name = {}
    if len(by_pk) < len(idents):
        names = {*idents, *(ident.lower() for ident in idents)}
        by_name = {row.external_id: row for row in visible.filter(external_id__in=names)}
    return [by_pk.get(own[ident]) or by_name.get(ident) or by_name.get(ident.lower()) for ident in idents]


def member(actor: Actor, ident: str) -> User | None:
    members = Membership.objects.filter(organization=actor.organization).select_related("user")
    own = parse_uuid(ident)
    found = members.filter(user_id=own) if own else members.filter(user__email=ident.lower())
    membership = found.first()
    return membership.user if membership else None


def one_project(problem_field: str, row: Any, project_id: Any) -> None:
    """Refuse what belongs to another project."""
    if row is not None and row.project_id != project_id:
        misfit("belongs to another project", problem_field)
