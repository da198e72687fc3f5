"""The operators' console: Django's admin for superusers, over all organisations, fast on big tables."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import update_wrapper
from typing import Any, ClassVar

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.options import ShowFacets
from django.contrib.admin.views.main import ChangeList
from django.contrib.auth.views import redirect_to_login
from django.contrib.postgres.fields import ArrayField
from django.core.paginator import Page, Paginator
from django.db import IntegrityError, models, transaction
from django.forms.fields import InvalidJSONInput
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase, HttpResponseNotAllowed
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.csp import CSP
from django.utils.functional import cached_property
from django.views.decorators.csp import csp_override

from evalhub.accounts.models import Membership, Organization, User
from evalhub.accounts.sessions import sign_out
from evalhub.accounts.tenancy import parse_uuid
from evalhub.audit.models import record_event
from evalhub.web.errors import Refused
from evalhub.web.json import BadJson, loads_strict
from evalhub.web.pages import is_here
from evalhub.web.paging import Count, count_rows

# As strict as the one of the pages, but its own: nothing that pages need is opened to the console, nor the other way.
POLICY: dict[str, list[str]] = {
    "default-src": [CSP.NONE],
    "script-src": [CSP.SELF],
    "style-src": [CSP.SELF],
    "img-src": [CSP.SELF],
    "font-src": [CSP.SELF],
    "connect-src": [CSP.SELF],
    "form-action": [CSP.SELF],
    "frame-ancestors": [CSP.NONE],
    "base-uri": [CSP.NONE],
}

HEAVY = (models.JSONField, models.TextField, models.BinaryField)  # what lists never load unless they show it


class Console(admin.AdminSite):
    site_title = "EvalHub console"
    site_header = "EvalHub console"
    index_title = "Everything in this installation"

    def has_permission(self, request: HttpRequest) -> bool:
        return request.user.is_active and request.user.is_superuser

    def admin_view(self, view: Callable[..., HttpResponseBase], cacheable: bool = False) -> Any:
        """Superusers come in, visitors sign in first, and for everybody else there is nothing here."""
        inner = csp_override(POLICY)(super().admin_view(view, cacheable))

        def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
            if request.user.is_authenticated and not self.has_permission(request):
                raise Http404
            if not request.user.is_authenticated:
                return redirect_to_login(request.get_full_path())
            return inner(request, *args, **kwargs)

        return update_wrapper(guarded, inner)

    # One door for everybody: the throttled sign-in, and the password page that ends other sessions.

    def login(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        target = request.GET.get("next", "")
        return redirect_to_login(target if is_here(request, target) else reverse("admin:index"))

    def logout(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        sign_out(request)
        return redirect("accounts:login")

    def password_change(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        return redirect("accounts:password")


class EstimatingPaginator(Paginator):
    """Counts exactly up to 10,000 rows, beyond by the planner's estimate; late pages skip keys, not joined rows."""

    def page(self, number: int | str) -> Page:
        place = self.validate_number(number)
        rows: Any = self.object_list
        first = (place - 1) * self.per_page
        keys = rows.select_related(None).values_list("pk", flat=True)[first : first + self.per_page]
        return Page(rows.filter(pk__in=list(keys)) if first else rows[: self.per_page], place, self)

    @cached_property
    def counted(self) -> Count:
        return count_rows(self.object_list)  # type: ignore[arg-type]

    @cached_property
    def count(self) -> int:
        return self.counted.value


class LightChangeList(ChangeList):
    """A list that reads the columns it shows, not the big ones."""

    def get_queryset(self, request: HttpRequest, exclude_parameters: Any = None) -> models.QuerySet[Any]:
        queryset = super().get_queryset(request, exclude_parameters)
        shown = {*self.list_display, *getattr(self.model_admin, "list_loads", ())}
        heavy = [name for name in heavy_columns(self.model) if name not in shown]
        for reference in getattr(self.model_admin, "list_select_related", ()):
            names = [f"{reference}__{name}" for name in heavy_columns(related_to(self.model, reference))]
            heavy += [name for name in names if name not in shown]
        return queryset.defer(*heavy)


def heavy_columns(model: type[models.Model]) -> list[str]:
    return [field.name for field in model._meta.concrete_fields if isinstance(field, HEAVY)]


def related_to(model: type[models.Model], reference: str) -> type[models.Model]:
    related: Any = model._meta.get_field(reference).related_model
    return related


class OrganizationFilter(admin.ListFilter):
    """One organisation's rows, by its short name: a field to type in, as there may be thousands."""

    title = "organisation"
    parameter_name = "organization"
    template = "admin/organization_filter.html"

    def __init__(
        self, request: HttpRequest, params: dict[str, list[str]], model: type[models.Model], model_admin: Any
    ) -> None:
        super().__init__(request, params, model, model_admin)
        self.path = model_admin.organization_path
        if self.parameter_name in params:
            self.used_parameters[self.parameter_name] = params.pop(self.parameter_name)[-1]

    def has_output(self) -> bool:
        return True

    def expected_parameters(self) -> list[str | None]:
        return [self.parameter_name]

    @property
    def value(self) -> str:
        return str(self.used_parameters.get(self.parameter_name, "")).replace("\x00", "").strip()

    def queryset(self, request: HttpRequest, queryset: models.QuerySet[Any]) -> models.QuerySet[Any]:
        if not self.value:
            return queryset
        named = models.Q(slug=self.value.lower())
        if as_uuid := parse_uuid(self.value):
            named |= models.Q(pk=as_uuid)
        organization = Organization.objects.filter(named).first()
        return queryset.filter(**{self.path: organization}) if organization else queryset.none()

    def choices(self, changelist: ChangeList) -> Iterator[Any]:
        kept = [
            (key, value)
            for key, values in changelist.filter_params.items()
            if key not in (self.parameter_name, "p")
            for value in values
        ]
        yield {"value": self.value, "kept": kept, "clear": changelist.get_query_string(remove=[self.parameter_name])}


class StrictJSONField(forms.JSONField):
    """Refuses what PostgreSQL cannot store, and shows it again as it was typed."""

    #: What an empty field stands for.
    nothing: Any = None

    def validate(self, value: Any) -> None:
        """{} and [] are values; only nothing at all is missing."""
        if self.required and value is None and self.nothing is None:
            raise forms.ValidationError(self.error_messages["required"], code="required")

    def clean(self, value: Any) -> Any:
        cleaned = super().clean(value)
        return self.nothing if cleaned is None else cleaned

    def bound_data(self, data: Any, initial: Any) -> Any:
        try:
            loads_strict(data or "null")
        except BadJson:
            return InvalidJSONInput(str(data).encode("utf-8", "replace").decode())
        return super().bound_data(data, initial)

    def to_python(self, value: Any) -> Any:
        if isinstance(value, str) and value not in self.empty_values:
            try:
                loads_strict(value)
            except BadJson as error:
                raise forms.ValidationError(str(error), code="invalid") from error
        return super().to_python(value)


class ConsoleForm(forms.ModelForm):
    """Keeps a row, and every row that it names, in one organisation."""

    def _get_validation_exclusions(self) -> set[str]:
        """The model takes {} for blank; whether it may be is what StrictJSONField has said."""
        said = {name for name, field in self.fields.items() if isinstance(field, StrictJSONField)}
        return super()._get_validation_exclusions() | said  # type: ignore[misc]

    def validate_constraints(self) -> None:
        """Also those about columns that the page only shows, such as the organisation of a row that is there."""
        try:
            self.instance.validate_constraints(exclude=set(self.errors))
        except forms.ValidationError as error:
            self._update_errors(error)  # type: ignore[attr-defined]

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        organization = cleaned.get("organization")
        organization_id = organization.pk if organization else getattr(self.instance, "organization_id", None)
        if organization_id is None:
            return cleaned
        for name in self.changed_data:
            value = cleaned.get(name)
            if isinstance(value, User):
                if not Membership.objects.filter(user=value, organization_id=organization_id).exists():
                    self.add_error(name, "This person is not a member of the organisation.")
            elif getattr(value, "organization_id", organization_id) != organization_id:
                self.add_error(name, "This belongs to another organisation.")
        return cleaned


class ConsoleAdmin(admin.ModelAdmin):
    """What all pages of the console have in common: every field shown, little asked, nothing counted to the end."""

    form = ConsoleForm
    formfield_overrides: ClassVar[Any] = {
        models.JSONField: {"form_class": StrictJSONField, "show_hidden_initial": False},
        ArrayField: {"show_hidden_initial": False},
    }
    paginator = EstimatingPaginator
    show_full_result_count = False
    show_facets = ShowFacets.NEVER
    list_per_page = 50
    list_max_show_all = 0
    ordering: ClassVar[Any] = ("-pk",)
    sortable_by: ClassVar[Any] = ()  # only by what has an index
    #: Columns that the list needs beside those it shows, such as those a row's name is made of.
    list_loads: ClassVar[tuple[str, ...]] = ()
    #: Set by other code, and only shown here.
    frozen: tuple[str, ...] = ()
    #: Chosen once, when the row is made.
    settled: ClassVar[tuple[str, ...]] = ("organization",)
    #: Columns that are shown folded away, under this title.
    folded: ClassVar[dict[str, tuple[str, ...]]] = {}
    #: From the row to its organisation.
    organization_path: ClassVar[str] = "organization"
    addable: ClassVar[bool] = True
    changeable: ClassVar[bool] = True
    deletable: ClassVar[bool] = True

    def __init__(self, model: type[models.Model], admin_site: admin.AdminSite) -> None:
        references = [field.name for field in model._meta.concrete_fields if field.many_to_one or field.one_to_one]
        sets = [field.name for field in model._meta.many_to_many if field.remote_field.through._meta.auto_created]  # type: ignore[union-attr]
        self.raw_id_fields = [name for name in (*references, *sets) if name not in self.autocomplete_fields]  # type: ignore[misc]
        named_by = {name.split("__")[0] for name in self.list_loads}
        self.list_select_related = [name for name in references if name in {*self.list_display, *named_by}]  # type: ignore[misc]
        super().__init__(model, admin_site)

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return LightChangeList

    def get_list_filter(self, request: HttpRequest) -> Any:
        filters = list(super().get_list_filter(request))
        root = self.organization_path.split("__")[0]
        return [*filters, OrganizationFilter] if root in self._columns() else filters

    def formfield_for_dbfield(self, db_field: Any, request: Any, **kwargs: Any) -> Any:
        field = super().formfield_for_dbfield(db_field, request, **kwargs)
        if isinstance(field, StrictJSONField) and not db_field.null:
            field.nothing = db_field.get_default()
        if isinstance(field, forms.CharField) and db_field.null:
            field.empty_value = None  # Django sees to it for CharFields only; "" would be a sender's id, once
        return field

    def get_search_results(self, request: HttpRequest, queryset: Any, search_term: str) -> tuple[Any, bool]:
        return super().get_search_results(request, queryset, search_term.replace("\x00", ""))

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        if obj is None:
            return [name for name in self._asked() if name not in self.frozen]
        own = [name for name in self._columns() if name not in ("id", "created_at", "updated_at")]
        times = [name for name in ("id", "created_at", "updated_at") if name in self._columns()]
        return [*own, *(name for name in self._asked() if name not in own), *self.readonly_fields, *times]

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        names = self.get_fields(request, obj)
        folds = {title: [name for name in fold if name in names] for title, fold in self.folded.items()}
        hidden = {name for fold in folds.values() for name in fold}
        return [
            (None, {"fields": [name for name in names if name not in hidden]}),
            *((title, {"fields": fold, "classes": ["collapse"]}) for title, fold in folds.items() if fold),
        ]

    def get_readonly_fields(self, request: HttpRequest, obj: models.Model | None = None) -> list[str]:
        if obj is None:
            return []
        asked = self._asked()
        fixed = [name for name in self._columns() if name not in asked or name in (*self.frozen, *self.settled)]
        return [*fixed, *self.readonly_fields]

    def has_add_permission(self, request: HttpRequest) -> bool:
        return self.addable and super().has_add_permission(request)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.changeable and super().has_change_permission(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.deletable and super().has_delete_permission(request, obj)

    # What operators do is in the audit trail of the organisation that it is about.

    def log_addition(self, request: HttpRequest, obj: Any, message: Any) -> Any:
        self._record("added", request, obj)
        return super().log_addition(request, obj, message)

    def log_change(self, request: HttpRequest, obj: Any, message: Any) -> Any:
        self._record("changed", request, obj, fields=[name for part in message for name in fields_of(part)])
        return super().log_change(request, obj, message)

    def log_deletions(self, request: HttpRequest, queryset: Any) -> Any:
        for obj in queryset:
            self._record("deleted", request, obj)
        return super().log_deletions(request, queryset)

    def _record(self, what: str, request: HttpRequest, obj: Any, **data: Any) -> None:
        organization_id = obj.pk if isinstance(obj, Organization) else getattr(obj, "organization_id", None)
        record_event(f"console.{what}", obj, by=None, organization_id=organization_id, user_id=request.user.pk, **data)

    def _columns(self) -> list[str]:
        fields = self.model._meta.concrete_fields
        left_out = self.exclude or ()
        return [f.name for f in fields if not isinstance(f, models.BinaryField) and f.name not in left_out]

    def _asked(self) -> list[str]:
        """What a form of this model can ask for, in the model's order."""
        fields = [*self.model._meta.concrete_fields, *self.model._meta.many_to_many]
        return [
            field.name
            for field in fields
            if field.editable
            and not (field.many_to_many and not field.remote_field.through._meta.auto_created)
            and field.name != "id"
            and field.name not in (self.exclude or ())
        ]


class EvidenceAdmin(ConsoleAdmin):
    """Rows that arrive by their own door and are kept as they came: ``open_fields`` may be changed, nothing else."""

    open_fields: ClassVar[tuple[str, ...]] = ()
    addable = False
    deletable = False

    def __init__(self, model: type[models.Model], admin_site: admin.AdminSite) -> None:
        super().__init__(model, admin_site)
        self.frozen = tuple(field.name for field in model._meta.fields if field.name not in self.open_fields)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return bool(self.open_fields) and super().has_change_permission(request, obj)


class DeletableAdmin(ConsoleAdmin):
    """Rows that are archived or marked as deleted, and stay for the history."""

    deletable = False
    frozen: tuple[str, ...] = ("archived_at", "deleted_at")
    actions = ("archive", "restore", "mark_deleted")

    @admin.action(description="Archive the selected %(verbose_name_plural)s", permissions=["change"])
    def archive(self, request: HttpRequest, queryset: Any) -> None:
        self._stamp(request, queryset.filter(archived_at__isnull=True), "archived")

    @admin.action(description="Restore the selected %(verbose_name_plural)s", permissions=["change"])
    def restore(self, request: HttpRequest, queryset: Any) -> None:
        self._stamp(request, queryset.exclude(archived_at__isnull=True, deleted_at__isnull=True), "restored")

    @admin.action(description="Mark the selected %(verbose_name_plural)s as deleted", permissions=["change"])
    def mark_deleted(self, request: HttpRequest, queryset: Any) -> None:
        self._stamp(request, queryset.filter(deleted_at__isnull=True), "deleted")

    def _stamp(self, request: HttpRequest, queryset: Any, what: str) -> None:
        done = 0
        for obj in queryset:
            try:
                with transaction.atomic():
                    self.change_state(obj, what)
                    self._record(what, request, obj)
            except IntegrityError:
                self.message_user(request, f"{obj} was not {what}: another one has taken its place.", messages.ERROR)
            except Refused as refusal:
                self.message_user(request, f"{obj} was not {what}: {refusal}", messages.ERROR)
            else:
                done += 1
        self.message_user(request, f"{done} {what}.")

    def change_state(self, obj: Any, what: str) -> None:
        """Move one row; rooms whose rows are counted elsewhere do that here too."""
        if what == "archived":
            obj.archive()
        elif what == "deleted":
            obj.mark_deleted()
        else:
            obj.archived_at = obj.deleted_at = None
            obj.save(update_fields=["archived_at", "deleted_at", "updated_at"])


def fields_of(part: Any) -> list[str]:
    """The field names in one part of the admin's change message."""
    changed = part.get("changed", {}) if isinstance(part, dict) else {}
    return [str(name) for name in changed.get("fields", [])]
