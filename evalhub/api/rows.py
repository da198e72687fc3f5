"""How rows look in an answer: declared once, fetched with ``.values()``, described in the OpenAPI document.

JSON columns travel as PostgreSQL's own text into the answer, without being parsed on the way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import reduce
from typing import Any, Final

import orjson
from django.db.models import F, Model, QuerySet, TextField
from django.db.models.expressions import Combinable
from django.db.models.functions import Cast

from evalhub.api.shapes import Choice, Described, Field, Flag, Ident, Items, Json, Moment, Number, Schema, Text, Uuid
from evalhub.api.shapes import Whole as WholeNumber

type Values = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Shown:
    """One key of an answer: the columns it needs, what it makes of them, and how it is described."""

    kind: Field
    columns: tuple[str, ...]
    make: Callable[[Values], Any] | None = None  # None: the one column as it is
    computed: Mapping[str, Combinable] = field(default_factory=dict)


class Row(Described):
    """The keys of one kind of answer."""

    def __init__(self, name: str, keys: Mapping[str, Shown], *, doc: str = "") -> None:
        super().__init__(name)
        self.keys, self.doc = dict(keys), doc
        self.columns = tuple(dict.fromkeys(column for key in keys.values() for column in key.columns))
        self.computed = {name: made for key in keys.values() for name, made in key.computed.items()}
        self.plain = [(name, key.columns[0]) for name, key in keys.items() if key.make is None]
        self.made = [(name, key.make) for name, key in keys.items() if key.make is not None]

    def select(self, queryset: QuerySet[Any, Any], *more: str) -> QuerySet[Any, Any]:
        """The query for these keys; ``more`` columns are those that the order needs."""
        named = [column for column in self.columns if column not in self.computed]
        extra = [column for column in more if column not in named and column not in self.computed]
        return queryset.values(*named, *extra, **self.computed)

    def show(self, values: Values) -> dict[str, Any]:
        shown = {name: values[column] for name, column in self.plain}
        for name, make in self.made:
            shown[name] = make(values)
        return shown

    def show_instance(self, instance: Model) -> dict[str, Any]:
        """The same of an instance that has everything at hand, also of what it names."""
        return self.show({column: reduce(getattr, column.split("__"), instance) for column in self.columns})

    def show_all(self, rows: Iterable[Values]) -> list[dict[str, Any]]:
        return [self.show(values) for values in rows]

    def fetch(self, queryset: QuerySet[Any, Any]) -> list[dict[str, Any]]:
        return self.show_all(self.select(queryset))

    def schema(self) -> Schema:
        schema: Schema = {
            "type": "object",
            "properties": {name: key.kind.schema() for name, key in self.keys.items()},
            "required": list(self.keys),
            "additionalProperties": False,
        }
        if self.doc:
            schema["description"] = self.doc
        return schema


class Object(Described):
    """An answer, or a part of one, that is put together by hand."""

    def __init__(
        self,
        name: str,
        fields: Mapping[str, Field],
        *,
        doc: str = "",
        optional: Iterable[str] = (),
        more: bool = False,  # further keys may come
    ) -> None:
        super().__init__(name)
        self.fields, self.doc, self.optional, self.more = dict(fields), doc, frozenset(optional), more

    def schema(self) -> Schema:
        schema: Schema = {
            "type": "object",
            "properties": {name: kind.schema() for name, kind in self.fields.items()},
            "required": [name for name in self.fields if name not in self.optional],
            "additionalProperties": self.more,
        }
        if self.doc:
            schema["description"] = self.doc
        return schema


@dataclass(frozen=True, kw_only=True, slots=True)
class Of(Field):
    """A described thing inside an answer."""

    what: Described

    def fit(self, value: Any) -> Any:
        raise NotImplementedError

    def kind(self) -> Schema:
        return self.what.reference()


def list_of(what: Described, doc: str = "") -> Items:
    return Items(of=Of(what=what), most=1_000_000, doc=doc)


# --- the usual keys ---------------------------------------------------------------------------------------------------

PERSON: Final = Object(
    "Person", {"id": Uuid(), "name": Text(), "email": Text()}, doc="A member of the organisation, or one who was."
)
REFERENCE: Final = Object("Reference", {"id": Ident(), "name": Text()}, doc="Another thing, by its id.")


def text(column: str, doc: str = "", *, null: bool = False, example: Any = None) -> Shown:
    return Shown(Text(doc=doc, null=null, example=example), (column,))


def whole(column: str, doc: str = "", *, null: bool = False) -> Shown:
    return Shown(WholeNumber(doc=doc, null=null, most=2**63 - 1), (column,))


def number(column: str, doc: str = "", *, null: bool = True) -> Shown:
    return Shown(Number(doc=doc, null=null), (column,))


def flag(column: str, doc: str = "", *, null: bool = False) -> Shown:
    return Shown(Flag(doc=doc, null=null), (column,))


def moment(column: str, doc: str = "", *, null: bool = True) -> Shown:
    return Shown(Moment(doc=doc, null=null), (column,))


def choice(column: str, of: Iterable[str], doc: str = "", *, null: bool = False) -> Shown:
    return Shown(Choice(of=tuple(of), doc=doc, null=null), (column,))


def texts(column: str, doc: str = "") -> Shown:
    return Shown(Items(of=Text(), doc=doc, most=1_000_000), (column,))


def uuid(column: str = "id", doc: str = "EvalHub's own id.", *, null: bool = False) -> Shown:
    return Shown(Uuid(doc=doc, null=null), (column,))


def public_id(doc: str = "The id that the client gave, else EvalHub's own. Either is accepted everywhere.") -> Shown:
    return Shown(Ident(doc=doc), ("id", "external_id"), lambda values: values["external_id"] or str(values["id"]))


def reference(path: str, doc: str = "", *, null: bool = False, label: str = "name", named: bool = True) -> Shown:
    """{id, name} of the row behind a foreign key."""
    pk, external, name = f"{path}_id", f"{path}__external_id", f"{path}__{label}"

    def make(values: Values) -> dict[str, Any] | None:
        own = values[pk]
        return None if own is None else {"id": values[external] or str(own), "name": values[name]}

    return Shown(Of(what=REFERENCE, null=null, doc=doc), (pk, external, name), make)


def person(path: str, doc: str = "") -> Shown:
    pk, name, email = f"{path}_id", f"{path}__name", f"{path}__email"

    def make(values: Values) -> dict[str, Any] | None:
        own = values[pk]
        return None if own is None else {"id": own, "name": values[name], "email": values[email]}

    return Shown(Of(what=PERSON, null=True, doc=doc), (pk, name, email), make)


def raw(column: str, doc: str = "", *, only: type | None = None, null: bool = False) -> Shown:
    """A JSON column, unparsed."""
    alias = f"{column}_as_text"

    def make(values: Values) -> orjson.Fragment | None:
        found = values[alias]
        return None if found is None else orjson.Fragment(found)

    kind = Json(doc=doc, only=only, null=null)
    return Shown(kind, (alias,), make, {alias: Cast(F(column), TextField())})


def computed(kind: Field, columns: Iterable[str], make: Callable[[Values], Any]) -> Shown:
    return Shown(kind, tuple(columns), make)


def annotated(kind: Field, alias: str, expression: Any) -> Shown:
    return Shown(kind, (alias,), None, {alias: expression})
