"""Filters that a page and the API share: one FilterSet, one meaning of every query string."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar
from uuid import UUID

import django_filters
from django import forms
from django.core.validators import ProhibitNullCharactersValidator
from django.db.models import BooleanField, Expression, Field, Func, Model, QuerySet, Value
from django.http import QueryDict
from django.utils.datastructures import MultiValueDict

from evalhub.accounts.actor import Actor
from evalhub.accounts.tenancy import TenantQuerySet, parse_uuid
from evalhub.web.parts import Chip

LONGEST_WORD = 300


class ILike(Func):
    """A pattern without case, as the trigram indexes know it (Django's icontains compares UPPER(column) instead)."""

    template = "%(expressions)s"
    arg_joiner = " ILIKE "
    output_field: Field[Any, Any] = BooleanField()


def contains(column: str | Expression, text: str) -> ILike:
    """Whether the column holds the text, whatever its case; no sign in it is a wildcard."""
    escaped = text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return ILike(column, Value(f"%{escaped}%"))


class WordsField(forms.MultipleChoiceField):
    """Any words, given by repeating the parameter."""

    def valid_value(self, value: Any) -> bool:
        return len(str(value)) <= LONGEST_WORD

    def to_python(self, value: Any) -> list[str]:
        words = [word.strip() for word in super().to_python(value)]
        for word in words:
            ProhibitNullCharactersValidator()(word)
        return list(dict.fromkeys(filter(None, words)))


class WordsFilter(django_filters.MultipleChoiceFilter):
    field_class = WordsField

    def filter(self, qs: QuerySet[Any], value: Any) -> QuerySet[Any]:
        if not value:
            return qs
        return qs.filter(**{f"{self.field_name}__{self.lookup_expr}": value})


class ChoicesFilter(django_filters.MultipleChoiceFilter):
    """Any of several known words, given by repeating the parameter; it changes nothing where none is given."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.always_filter = False

    def filter(self, qs: QuerySet[Any], value: Any) -> QuerySet[Any]:
        return qs.filter(**{f"{self.field_name}__in": value}) if value else qs


class IdFilter(WordsFilter):
    """Rows of one's own organisation, named by our id or the client's own. What is not there finds nothing.

    The rows found stay in ``filterset.named[name]``, for the chips of a page.
    """

    def __init__(
        self, *args: Any, model: Callable[[], type[Model]] | type[Model], words: Iterable[str] = (), **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self.rows_model = model
        self.words = tuple(words)

    def filter(self, qs: QuerySet[Any], value: Any) -> QuerySet[Any]:
        if not value:
            return qs
        rows = self.find(value)
        return qs.filter(**{f"{self.field_name}__in": [row.pk for row in rows]}) if rows else qs.none()

    def find(self, values: Iterable[str]) -> list[Any]:
        filterset: TenantFilterSet = self.parent
        name = filterset.name_of(self)
        if name not in filterset.named:
            model: Any = self.rows_model
            visible: TenantQuerySet[Any] = model._default_manager.visible_to(filterset.actor)
            found = visible.none()
            for value in list(values)[:20]:
                found = found | visible.with_id(value)
                for column in self.words:
                    found = found | visible.filter(**{column: value})
            filterset.named[name] = list(found.distinct())
        return filterset.named[name]


class TenantFilterSet(django_filters.FilterSet):
    """Filters that look things up in the actor's organisation.

    ``position`` names what belongs to a list's address, but filters nothing: sort order, cursor, open drawer, tab.
    """

    position: ClassVar[tuple[str, ...]] = ("sort", "cursor", "result", "tab", "view", "size")

    def __init__(
        self,
        data: Any = None,
        queryset: QuerySet[Any] | None = None,
        *,
        actor: Actor | None = None,
        request: Any = None,
        prefix: str | None = None,
    ) -> None:
        self.actor = actor if actor is not None else getattr(request, "actor", None)
        self.named: dict[str, list[Any]] = {}
        self._understood: tuple[int, dict[str, Any]] | None = None
        if data is not None and not isinstance(data, MultiValueDict):
            data = multi(data)
        super().__init__(data, queryset, request=request, prefix=prefix)

    @property
    def values(self) -> dict[str, Any]:
        """What was asked for and understood."""
        if not self.is_bound:
            return {}
        self.is_valid()
        mistakes = len(self.form.errors)  # asked for twenty times a request: read anew only when one more was found
        if self._understood is None or self._understood[0] != mistakes:
            cleaned = self.form.cleaned_data
            found = {name: value for name, value in cleaned.items() if value not in (None, "", [])}
            self._understood = mistakes, found
        return self._understood[1]

    def one(self, name: str) -> Any | None:
        """The row that an IdFilter found, where it is exactly one."""
        found = self.filters[name].find(self.values[name]) if name in self.values else []
        return found[0] if len(found) == 1 else None

    def name_of(self, wanted: django_filters.Filter) -> str:
        return next(name for name, candidate in self.filters.items() if candidate is wanted)

    def chips(self, query: QueryDict) -> list[Chip]:
        """The filters that are on, each with the address of the list without it."""
        chips = []
        for name, value in self.values.items():
            if name in self.position or name in self.not_as_chips:
                continue
            key, text = self.words_for(name, value)
            rest = query.copy()
            for gone in (name, *self.go_together.get(name, ()), "cursor", "result"):
                rest.pop(gone, None)
            if name in self.remembered:
                rest[name] = ""
            chips.append(Chip(key, text, f"?{rest.urlencode()}"))
        return chips

    not_as_chips: ClassVar[tuple[str, ...]] = ()
    remembered: ClassVar[tuple[str, ...]] = ("project",)  # by the session: an empty one says all
    go_together: ClassVar[Mapping[str, tuple[str, ...]]] = {}

    def words_for(self, name: str, value: Any) -> tuple[str, str]:
        """A filter as its chip says it: what, and which."""
        wanted = self.filters[name]
        label = str(wanted.label or name.replace("_", " ").capitalize())
        if isinstance(wanted, IdFilter):
            return label, ", ".join(str(row) for row in wanted.find(value)) or "unknown"
        known = dict(getattr(wanted.field, "choices", ()) or ())
        values = value if isinstance(value, list) else [value]
        return label, ", ".join(str(known.get(item, item)) for item in values)


def named_or_me(value: str, actor: Actor | None) -> UUID | None:
    """The user that a filter names: by id, or ``me``."""
    if value == "me":
        return actor.user.pk if actor else None
    return parse_uuid(value)


def multi(data: Mapping[str, Any]) -> QueryDict:
    """A plain mapping, whose values may be lists, as the query that it stands for."""
    query = QueryDict(mutable=True)
    for name, value in data.items():
        values = value if isinstance(value, list | tuple | set) else [value]
        query.setlist(name, [str(item) if isinstance(item, UUID | int | float) else item for item in values])
    return query
