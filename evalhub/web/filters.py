"""Filters that a page and the API share: one FilterSet, one meaning of every query string."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any, ClassVar
from uuid import UUID

import django_filters
from django import forms
from django.core.validators import ProhibitNullCharactersValidator
from django.db.models import Model, QuerySet
from django.http import QueryDict
from django.utils.datastructures import MultiValueDict
from django.utils.timezone import localtime

from evalhub.accounts.actor import Actor
from evalhub.accounts.models import Membership
from evalhub.accounts.tenancy import find_rows, parse_uuid
from evalhub.web import formats
from evalhub.web.parts import Chip

LONGEST_WORD = 300
MOST_NAMED = 20  # rows that one filter looks up


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


class ChoicesField(forms.MultipleChoiceField):
    """Known words; an empty one is what a form sends where nothing was chosen."""

    def to_python(self, value: Any) -> list[str]:
        return [word for word in super().to_python(value) if word]


class ChoicesFilter(django_filters.MultipleChoiceFilter):
    """Any of several known words, given by repeating the parameter; it changes nothing where none is given."""

    field_class = ChoicesField

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
            filterset.named[name] = self.rows_of(filterset.actor, list(values)[:MOST_NAMED])
        return filterset.named[name]

    def rows_of(self, actor: Actor | None, values: list[str]) -> list[Any]:
        if actor is None:
            return []
        return find_rows(self.rows_model, actor.organization_id, values, words=self.words)


class TenantFilterSet(django_filters.FilterSet):
    """Filters that look things up in the actor's organisation.

    ``position`` names what belongs to a list's address, but filters nothing: sort order, cursor, open drawer, tab.
    """

    base_filters: dict[str, django_filters.Filter]
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
        # What is not asked for filters nothing: only what is asked for is copied, and becomes a field of the form.
        every = type(self).base_filters
        self.base_filters = {name: known for name, known in every.items() if name in (data or ())}
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
            chips.append(Chip(*self.words_for(name, value), self._without(name, query)))
        for name in self.form.errors if self.is_bound else ():
            if name in self.filters and name not in self.position:
                text = f"“{query.get(name, '')[:60]}” is not understood and filters nothing"
                chips.append(Chip(name.replace("_", " "), text, self._without(name, query)))
        return chips

    def _without(self, name: str, query: QueryDict) -> str:
        rest = query.copy()
        for gone in (name, *self.go_together.get(name, ()), "cursor", "result"):
            rest.pop(gone, None)
        if name in self.remembered:
            rest[name] = ""
        return f"?{rest.urlencode()}"

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
        return label, ", ".join(str(known.get(item) or said(item)) for item in values)


def said(value: Any) -> str:
    """A filter's value for people."""
    if isinstance(value, bool):
        return "only" if value else "left out"
    if isinstance(value, datetime):
        local = localtime(value)
        return formats.when(value if local.time() else local.date())
    return str(value)


def named_or_me(value: str, actor: Actor | None) -> UUID | None:
    """The user that a filter names: by id, a colleague's e-mail address, or ``me``."""
    if value == "me":
        return actor.user.pk if actor else None
    if "@" in value and actor and "\0" not in value:
        colleagues = Membership.objects.filter(organization=actor.organization_id, user__email=value.strip().lower())
        return colleagues.values_list("user_id", flat=True).first()
    return parse_uuid(value)


def multi(data: Mapping[str, Any]) -> QueryDict:
    """A plain mapping, whose values may be lists, as the query that it stands for."""
    query = QueryDict(mutable=True)
    for name, value in data.items():
        values = value if isinstance(value, list | tuple | set) else [value]
        query.setlist(name, [str(item) if isinstance(item, UUID | int | float) else item for item in values])
    return query
