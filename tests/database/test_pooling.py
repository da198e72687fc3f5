import pytest
from django.db import connection
from psycopg_pool import ConnectionPool

from evalhub.database.pooling import check_connection

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def pool():
    named = connection.get_connection_params()
    named.pop("pool", None)
    with ConnectionPool(kwargs={**named, "autocommit": True}, min_size=1, max_size=1, check=check_connection) as made:
        yield made


def backend_of(pool) -> int:
    with pool.connection() as found:
        return found.info.backend_pid


def test_a_connection_is_handed_on(pool):
    assert backend_of(pool) == backend_of(pool)


def test_a_connection_that_the_server_ended_is_not_handed_on(pool):
    first = backend_of(pool)
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(%s, 5000)", [first])

    second = backend_of(pool)

    assert second != first
    with pool.connection() as found:
        assert found.execute("SELECT 1").fetchone()[0] == 1
