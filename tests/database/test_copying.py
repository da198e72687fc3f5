import psycopg
import pytest
from django.db import IntegrityError, OperationalError, connection, transaction

from evalhub.database.copying import copy_rows, copying
from evalhub.database.ids import new_id


@pytest.mark.django_db
def test_what_the_database_refuses_is_an_error_of_djangos_as_everywhere():
    tag = ("id", "organization_id", "name")

    with pytest.raises(IntegrityError) as caught, transaction.atomic():
        copy_rows("runs_tag", tag, [(new_id(), None, "a")])

    assert isinstance(caught.value.__cause__, psycopg.errors.NotNullViolation)


@pytest.mark.django_db
def test_an_error_of_who_makes_the_rows_comes_as_it_is():
    with pytest.raises(ZeroDivisionError), transaction.atomic(), copying("runs_tag", ("id",)) as append:
        append((1 // 0,))

    assert connection.is_usable()


@pytest.mark.django_db
def test_a_connection_that_is_cut_meanwhile_is_an_operational_error(monkeypatch):
    def cut(*args):
        raise psycopg.errors.DiskFull("could not extend file")

    with pytest.raises(OperationalError), copying("runs_tag", ("id",)):
        cut()
