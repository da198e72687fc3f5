"""What must never be false, the database says: no column holds a word that its field does not know."""

import pytest
from django.apps import apps
from django.contrib.postgres.fields import ArrayField
from django.db import IntegrityError, connection, transaction

OWN = ("accounts", "audit", "runs", "results")


def enumerations():
    for model in apps.get_models(include_auto_created=True):
        if model._meta.app_label in OWN:
            for field in model._meta.local_concrete_fields:
                if field.choices or (isinstance(field, ArrayField) and field.base_field.choices):
                    yield model, field


def test_every_enumeration_is_found():
    found = {f"{model.__name__}.{field.name}" for model, field in enumerations()}

    assert {"TestRun.kind", "TestRun.via", "Shard.kind", "Import.state", "ReviewRound.state", "ApiToken.scopes"} < found


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("model", "field"), list(enumerations()), ids=lambda value: getattr(value, "__name__", None) or value.name
)
def test_the_database_refuses_a_word_that_is_no_choice(model, field):
    listed = isinstance(field, ArrayField)
    with connection.cursor() as cursor:
        cursor.execute(f'CREATE TEMP TABLE tried (LIKE "{model._meta.db_table}" INCLUDING CONSTRAINTS)')
        for column in (one.column for one in model._meta.local_concrete_fields):
            cursor.execute(f'ALTER TABLE tried ALTER COLUMN "{column}" DROP NOT NULL')
        insert = f'INSERT INTO tried ("{field.column}") VALUES (%s)'

        with pytest.raises(IntegrityError, match="violates check constraint"), transaction.atomic():
            cursor.execute(insert, [["?"] if listed else "?"])
