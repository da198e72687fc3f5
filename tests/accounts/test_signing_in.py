"""The login page: who comes in, who has to wait, and where they land."""

import re
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier
from urllib.parse import urlencode

import pytest
from django.contrib.auth.hashers import make_password
from django.db import connection
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from evalhub.accounts.models import LoginAttempt, User
from evalhub.accounts.throttling import client_address, network_of
from evalhub.audit.models import AuditEvent
from tests.factories import PASSWORD, make_organization, make_user

pytestmark = pytest.mark.django_db
LOGIN = "/login/"


@pytest.fixture
def ann():
    return make_user(make_organization(), email="ann@example.com", name="Ann")


def try_password(client, password, email="ann@example.com", address="192.0.2.1", **more):
    return client.post(LOGIN, {"email": email, "password": password, **more}, REMOTE_ADDR=address)


def signed_in_as(client):
    return client.session.get("_auth_user_id")


def test_the_right_password_opens_a_session(client, ann):
    response = try_password(client, PASSWORD)

    assert (response.status_code, response["Location"]) == (302, "/")
    assert signed_in_as(client) == str(ann.pk)


def test_an_e_mail_address_has_no_case(client, ann):
    try_password(client, PASSWORD, email=" ANN@Example.COM ")

    assert signed_in_as(client) == str(ann.pk)


def test_a_wrong_password_and_an_unknown_address_get_the_same_answer(client, ann):
    wrong = try_password(client, "not this one", email="ann@example.com")
    unknown = try_password(client, "not this one", email="bob@example.com")

    assert wrong.status_code == unknown.status_code == 422
    assert without_what_they_typed(wrong) == without_what_they_typed(unknown)
    assert "E-mail and password don’t match." in wrong.text


def test_an_unknown_address_costs_as_much_hashing_as_a_known_one(client, ann, monkeypatch):
    hashed = []
    monkeypatch.setattr(User, "set_password", lambda user, raw: hashed.append(raw) or make_password(raw))
    monkeypatch.setattr(User, "check_password", lambda user, raw: hashed.append(raw) or False)

    try_password(client, "not this one", email="ann@example.com")
    try_password(client, "not this one", email="bob@example.com")

    assert hashed == ["not this one", "not this one"]


def test_a_person_who_is_switched_off_gets_the_answer_of_a_wrong_password(client, ann):
    User.objects.filter(pk=ann.pk).update(is_active=False)

    response = try_password(client, PASSWORD)

    assert response.status_code == 422
    assert "E-mail and password don’t match." in response.text


def test_signing_in_gives_the_session_a_new_id(client, ann):
    client.get(LOGIN)
    session = client.session
    session["before"] = "planted"
    session.save()
    planted = session.session_key
    client.cookies["evalhub-session"] = planted

    try_password(client, PASSWORD)

    assert client.session.session_key != planted


def test_the_session_ends_with_the_browser_unless_one_wants_to_stay(client, ann):
    short = try_password(client, PASSWORD)
    client.logout()
    long = try_password(client, PASSWORD, remember="on")

    assert short.cookies["evalhub-session"]["max-age"] == ""
    assert long.cookies["evalhub-session"]["max-age"] == 14 * 24 * 3600


@pytest.mark.parametrize("target", ["/runs/?status=failed", "/invitations/abc/"])
def test_one_lands_where_one_wanted_to_go(client, ann, target):
    response = try_password(client, PASSWORD, next=target)

    assert response["Location"] == target


@pytest.mark.parametrize(
    "target",
    [
        "https://evil.example/",
        "//evil.example/",
        "///evil.example/",
        "/\\evil.example/",
        "\\\\evil.example/",
        "http:evil.example",
        "javascript:alert(1)",
        "\t//evil.example",
        "/\t/evil.example",
        "/%0a/evil.example\n",
        "data:text/html,hello",
        "evil.example",
        "https:///evil.example",
        "/\x00/evil.example",
    ],
)
def test_nobody_is_led_off_the_site(client, ann, target):
    shown = client.get(LOGIN, {"next": target})
    response = try_password(client, PASSWORD, next=target)

    assert 'name="next"' not in shown.text
    assert response["Location"] == "/"


def test_who_is_signed_in_already_goes_on(client, ann):
    client.force_login(ann)

    response = client.get(LOGIN, {"next": "/runs/"})

    assert response["Location"] == "/runs/"


def test_an_operator_without_an_organisation_lands_in_the_console(client):
    make_user(email="ann@example.com", is_superuser=True, is_staff=True)

    response = try_password(client, PASSWORD)

    assert response["Location"] == reverse("admin:index")


def test_signing_out_ends_the_session_and_takes_a_post(client, ann):
    client.force_login(ann)

    refused, done = client.get("/logout/"), client.post("/logout/")

    assert (refused.status_code, done["Location"]) == (405, LOGIN)
    assert signed_in_as(client) is None


@pytest.mark.parametrize(
    ("came_from", "next_page"),
    [
        ("http://testserver/results/?q=refund", "/results/?q=refund"),
        ("", "/comments/"),
        ("http://testserver//evil.example/", "/comments/"),
    ],
)
def test_who_pressed_a_button_too_late_signs_in_and_is_back_at_the_button(client, came_from, next_page):
    answer = client.post("/comments/", headers={"Referer": came_from})

    assert answer["Location"] == f"/login/?{urlencode({'next': next_page}, safe='/')}"


def test_a_session_that_ended_cannot_be_used_again(client, ann):
    client.force_login(ann)
    kept = client.cookies["evalhub-session"].value
    client.post("/logout/")

    client.cookies["evalhub-session"] = kept

    assert client.get("/profile/")["Location"] == "/login/?next=/profile/"


def test_a_person_who_is_switched_off_is_out_at_once(client, ann):
    client.force_login(ann)
    User.objects.filter(pk=ann.pk).update(is_active=False)

    assert client.get("/profile/")["Location"] == "/login/?next=/profile/"


@pytest.mark.parametrize("text", ["\x00", "a" * 5_000, "\ud800".encode("utf-8", "surrogatepass"), "😀", "' OR 1=1 --"])
def test_strange_text_is_a_wrong_password_like_any_other(client, ann, text):
    in_password = try_password(client, text)
    in_address = try_password(client, PASSWORD, email=text)

    assert (in_password.status_code, in_address.status_code) == (422, 422)


# --- guessing ---------------------------------------------------------------------------------------------------------


def test_the_eleventh_guess_at_one_person_is_not_looked_at(client, ann):
    guesses = [try_password(client, f"guess {n}").status_code for n in range(11)]
    right = try_password(client, PASSWORD)

    assert guesses == [422] * 10 + [429]
    assert right.status_code == 429
    assert 0 < int(right["Retry-After"]) <= 300
    assert signed_in_as(client) is None


@pytest.mark.django_db(transaction=True)
def test_forty_guesses_at_once_are_ten_guesses(ann):
    start = Barrier(40)

    def guess(number):
        try:
            start.wait()
            return try_password(Client(), f"guess {number}").status_code
        finally:
            connection.close()

    with ThreadPoolExecutor(40) as pool:
        answers = sorted(pool.map(guess, range(40)))

    assert answers == [422] * 10 + [429] * 30


def test_the_right_person_is_not_locked_out_from_another_address(client, ann):
    for n in range(11):
        try_password(client, f"guess {n}", address="192.0.2.1")

    try_password(client, PASSWORD, address="198.51.100.7")

    assert signed_in_as(client) == str(ann.pk)


def test_one_guess_at_each_of_a_hundred_people_stops_at_thirty(client):
    answers = [try_password(client, "guess", email=f"person{n}@example.com").status_code for n in range(100)]

    assert answers == [422] * 30 + [429] * 70


def test_the_page_says_how_many_tries_are_left(client, ann):
    answers = [try_password(client, f"guess {n}").text for n in range(10)]

    assert [re.findall(r"\d+ (?:try|tries) left", text) for text in answers] == [
        *([[]] * 5),
        ["4 tries left"],
        ["3 tries left"],
        ["2 tries left"],
        ["1 try left"],
        ["0 tries left"],
    ]


def test_the_right_password_forgets_what_was_mistyped_before(client, ann):
    for n in range(9):
        try_password(client, f"guess {n}")
    try_password(client, PASSWORD)
    client.logout()

    answers = [try_password(client, f"guess {n}").status_code for n in range(10)]

    assert answers == [422] * 10


def test_signing_in_to_ones_own_account_forgets_no_guesses_at_others(client, ann):
    make_user(email="mallory@example.com")
    for n in range(10):
        try_password(client, f"guess {n}")

    try_password(client, PASSWORD, email="mallory@example.com")
    client.logout()

    assert try_password(client, PASSWORD).status_code == 429


def test_after_five_minutes_one_may_try_again(client, ann):
    for n in range(11):
        try_password(client, f"guess {n}")
    LoginAttempt.objects.update(at=timezone.now() - timedelta(minutes=5, seconds=1))

    try_password(client, PASSWORD)

    assert signed_in_as(client) == str(ann.pk)
    assert LoginAttempt.objects.count() == 0


def test_a_made_up_forwarding_header_gives_no_new_tries(client, ann):
    answers = [
        client.post(
            LOGIN,
            {"email": "ann@example.com", "password": f"guess {n}"},
            REMOTE_ADDR="192.0.2.1",
            headers={"X-Forwarded-For": f"203.0.113.{n}"},
        ).status_code
        for n in range(11)
    ]

    assert answers[-1] == 429


@pytest.mark.parametrize(
    ("remote", "forwarded", "expected"),
    [
        ("192.0.2.1", "203.0.113.9", "192.0.2.1"),  # not our proxy: the header is not looked at
        ("10.0.0.2", "203.0.113.9", "203.0.113.9"),
        ("10.0.0.2", "198.51.100.1, 203.0.113.9", "203.0.113.9"),  # the left one is what the client wrote
        ("10.0.0.2", "203.0.113.9, 10.0.0.3", "203.0.113.9"),
        ("10.0.0.2", "", "10.0.0.2"),
        ("", "203.0.113.9", "203.0.113.9"),  # over a socket
        ("10.0.0.2", "rubbish", "rubbish"),
    ],
)
def test_behind_proxies_the_nearest_foreign_address_counts(rf, settings, remote, forwarded, expected):
    settings.TRUSTED_PROXIES = ["10.0.0.0/8", "unix"]

    request = rf.get("/", REMOTE_ADDR=remote, headers={"X-Forwarded-For": forwarded})

    assert client_address(request) == expected


def test_an_ipv6_network_counts_as_one_address():
    assert [
        network_of(address)
        for address in ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::1", "::ffff:192.0.2.1", "192.0.2.1", "rubbish")
    ] == ["2001:db8:1:2::/64", "2001:db8:1:2::/64", "192.0.2.1", "192.0.2.1", "unknown"]


# --- what is written down ---------------------------------------------------------------------------------------------


def test_signing_in_out_and_failing_is_written_down(client, ann):
    try_password(client, "not this one")
    try_password(client, PASSWORD)
    client.post("/logout/", REMOTE_ADDR="192.0.2.1")

    organization = ann.organizations.get()
    events = AuditEvent.objects.filter(organization=organization).order_by("id")
    assert [(event.action, event.user, event.entity_id, event.data["address"]) for event in events] == [
        ("login.failed", None, ann.pk, "192.0.2.1"),
        ("login", ann, ann.pk, "192.0.2.1"),
        ("logout", ann, ann.pk, "192.0.2.1"),
    ]


def test_an_attack_is_written_down_once_and_fills_no_table(client, ann):
    for n in range(40):
        try_password(client, f"guess {n}")

    actions = list(AuditEvent.objects.order_by("id").values_list("action", flat=True))
    assert actions == ["login.failed"] * 10 + ["login.throttled"]


def test_a_password_is_never_written_down(client, ann, caplog):
    try_password(client, "canary-password-1")
    try_password(client, "canary-password-2", email="nobody@example.com")

    assert "canary" not in caplog.text
    assert "canary" not in "".join(map(str, AuditEvent.objects.values_list("data", "entity_label")))


def without_what_they_typed(response):
    return re.sub(r'value="[^"]*"|"X-CSRFToken": "[^"]*"', "", response.text)
