"""The operators' console: every model has its pages, they stay fast, and only superusers come in."""

from itertools import count

import pytest
from django.apps import apps
from django.contrib import admin
from django.contrib.admin.widgets import AutocompleteMixin, ForeignKeyRawIdWidget
from django.db import connection, models
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from evalhub.accounts.models import Organization
from evalhub.database.ids import new_id
from tests.factories import make_organization, make_user

ROOMS = ("accounts", "audit", "runs", "results")
MODELS = [model for room in ROOMS for model in apps.get_app_config(room).get_models()]
VALUES = {
    "email": lambda n: f"somebody{n}@example.com",
    "slug": lambda n: f"name-{n}",
    "score": lambda n: 0.5,
    "source": lambda n: "human",
    "position": lambda n: n,
}

pytestmark = pytest.mark.django_db


@pytest.fixture
def operator(client):
    user = make_user(is_superuser=True, is_staff=True)
    client.force_login(user)
    return user


@pytest.fixture
def make_row():
    """Makes a row of any model in one organisation, and every row that it needs."""
    organization = make_organization(name="Acme")
    numbers = count(1)

    def value_of(field, number):
        if field.is_relation:
            return organization if field.related_model is Organization else make(field.related_model)
        if field.name in VALUES:
            return VALUES[field.name](number)
        if field.choices:
            return field.choices[0][0]
        if isinstance(field, models.DateTimeField):
            return timezone.now()
        if isinstance(field, models.UUIDField):
            return new_id()
        if isinstance(field, models.IntegerField | models.FloatField):
            return number
        return f"{field.name} {number}"[: field.max_length]

    def make(model, **fields):
        number = next(numbers)
        for field in model._meta.concrete_fields:
            needed = (not field.null and not field.has_default() and not field.primary_key) or field.name == "position"
            if needed and field.name not in fields and not getattr(field, "auto_now", False):
                fields[field.name] = value_of(field, number)
        return model.objects.create(**fields)

    return make


def page_of(model, page, *args):
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_{page}", args=args)


def offers_rows(field):
    widget = getattr(field.widget, "widget", field.widget)  # inside the wrapper with "add another"
    return hasattr(field, "queryset") and not isinstance(widget, AutocompleteMixin | ForeignKeyRawIdWidget)


def test_every_model_of_every_room_is_in_the_console():
    assert [model.__name__ for model in MODELS if not admin.site.is_registered(model)] == []


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_every_model_has_its_pages(client, operator, make_row, model):
    row = make_row(model)

    listed = client.get(page_of(model, "changelist"))
    searched = client.get(page_of(model, "changelist"), {"q": str(row.pk)})
    changed = client.get(page_of(model, "change", row.pk))
    added = client.get(page_of(model, "add"))

    can_add = admin.site.get_model_admin(model).addable
    assert [listed.status_code, searched.status_code, changed.status_code] == [200, 200, 200]
    assert added.status_code == (200 if can_add else 403)


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_a_list_asks_the_same_questions_for_one_row_and_for_three(client, operator, make_row, model):
    make_row(model)
    client.get(page_of(model, "changelist"))

    with CaptureQueriesContext(connection) as one:
        client.get(page_of(model, "changelist"))
    make_row(model), make_row(model)
    with CaptureQueriesContext(connection) as three:
        client.get(page_of(model, "changelist"))

    assert len(three) == len(one) <= 6, [query["sql"][:150] for query in three]


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_no_page_offers_a_select_box_of_rows(client, operator, make_row, model):
    row = make_row(model)
    pages = [page_of(model, "change", row.pk)]
    if admin.site.get_model_admin(model).addable:
        pages.append(page_of(model, "add"))

    for page in pages:
        form = client.get(page).context["adminform"].form
        boxes = [name for name, field in form.fields.items() if offers_rows(field)]
        assert boxes == []
