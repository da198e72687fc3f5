import time

import pytest
from django.core.management import call_command
from django.db import connection
from procrastinate.contrib.django import app


def test_a_living_process_says_so_without_a_database(client):
    response = client.get("/healthz")

    assert (response.status_code, response.json()) == (200, {"status": "ok"})


@pytest.mark.django_db
def test_a_ready_process_says_what_it_tried(client):
    response = client.get("/readyz")

    assert response.status_code == 200
    assert response.json() == {
        "status": "ok",
        "database": "ok",
        "migrations": "ok",
        "queue": "ok",
        "waiting_jobs": 0,
        "oldest_waiting_seconds": 0,
    }


@pytest.mark.django_db(transaction=True)
def test_readiness_tells_how_long_the_oldest_job_waits(client):
    job = app.configure_task("rescue_stalled_jobs", allow_unknown=True).defer(timestamp=0)
    with connection.cursor() as cursor:
        cursor.execute("UPDATE procrastinate_events SET at = at - interval '90 seconds' WHERE job_id = %s", [job])

    told = client.get("/readyz").json()

    assert (told["waiting_jobs"], told["oldest_waiting_seconds"]) == (1, 90)


@pytest.mark.django_db
def test_a_database_that_is_away_makes_the_process_unready_within_seconds(client, monkeypatch):
    monkeypatch.setitem(connection.settings_dict, "HOST", "/nowhere")
    started = time.monotonic()

    response = client.get("/readyz")

    assert time.monotonic() - started < 5
    assert (response.status_code, response.json()) == (
        503,
        {"status": "unavailable", "database": "away", "migrations": "unknown", "queue": "unknown"},
    )


@pytest.mark.django_db(transaction=True)
def test_a_missing_migration_makes_the_process_unready(client):
    call_command("migrate", "sessions", "zero", verbosity=0)
    try:
        response = client.get("/readyz")
    finally:
        call_command("migrate", "sessions", verbosity=0)

    assert (response.status_code, response.json()["migrations"]) == (503, "1 missing")


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_health_is_only_read(client, path):
    assert client.post(path).status_code == 405


@pytest.mark.django_db
@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_a_probe_may_call_a_machine_by_its_number(client, settings, path):
    settings.ALLOWED_HOSTS = ["evalhub.example.com"]

    assert client.get("/login/", headers={"Host": "10.1.2.3"}).status_code == 400
    assert client.get(path, headers={"Host": "10.1.2.3"}).status_code == 200
