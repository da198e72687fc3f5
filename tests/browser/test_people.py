"""People's pages in a browser: seen, reached by keyboard, and working without scripts."""

import re
from datetime import timedelta

import pytest
from django.utils import timezone
from playwright.sync_api import expect

from evalhub.accounts.invitations import accept, invite
from evalhub.accounts.models import ApiToken, Membership
from tests.browser.conftest import serious
from tests.factories import PASSWORD, make_organization, make_token, make_user

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def acme():
    return make_organization(name="Acme", slug="acme")


@pytest.fixture
def ann(acme):
    return make_user(acme, role="admin", name="Ann Ahlgren", email="ann@acme.example")


@pytest.fixture
def a_full_house(acme, ann):
    """Everything that the pages can show."""
    make_user(acme, role="lead", name="Ines Kowalski", email="ines.kowalski@a-rather-long-company-name.example")
    make_user(acme, role="reviewer", name="Mo", is_active=False)
    Membership.objects.create(organization=make_organization(name="Beta"), user=ann, role="viewer")
    invite(acme, "new.person@acme.example", "reviewer")
    for name, fields in {
        "CI of the support bot": {"expires_at": timezone.now() + timedelta(days=90)},
        "Nightly": {"expires_at": timezone.now() - timedelta(days=1)},
        "Old laptop": {"scopes": ["read"]},
    }.items():
        make_token(ann, acme, **fields)
        ApiToken.objects.filter(name="test").update(name=name)
    ApiToken.objects.get(name="Old laptop").revoke()


def removal_page(acme):
    return f"/members/{acme.memberships.get(role='lead').pk}/removal/"


SIGNED_IN = ["/profile/", "/password/", "/members/", "/tokens/", "/audit/", removal_page]


@pytest.mark.parametrize(("scheme", "width"), [("light", 375), ("dark", 1440)])
def test_no_page_of_members_keeps_anybody_out(page, sign_in, acme, ann, a_full_house, scheme, width):
    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size({"width": width, "height": 900})
    sign_in(ann, acme)

    for address in SIGNED_IN:
        page.goto(address(acme) if callable(address) else address)
        assert serious(page) == [], address
        assert page.evaluate("document.documentElement.scrollWidth") <= width, address


@pytest.mark.parametrize(("scheme", "width"), [("light", 375), ("dark", 1440)])
def test_no_page_of_visitors_keeps_anybody_out(page, acme, ann, scheme, width):
    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size({"width": width, "height": 900})
    _, fresh = invite(acme, "new@acme.example", "reviewer")
    _, known = invite(acme, make_user(email="known@acme.example").email, "reviewer")
    used, gone = invite(acme, "used@acme.example", "reviewer")
    accept(used, make_user())

    for address in ("/login/", *(f"/invitations/{secret}/" for secret in (fresh, known, gone, "invented"))):
        page.goto(address)
        assert serious(page) == [], address
        assert page.evaluate("document.documentElement.scrollWidth") <= width, address


@pytest.mark.parametrize("width", [375, 1440])
def test_who_belongs_nowhere_yet_can_look_around_and_leave(page, sign_in, width):
    page.set_viewport_size({"width": width, "height": 900})
    sign_in(make_user(name="Nell", is_superuser=True, is_staff=True))
    page.goto("/profile/")
    assert serious(page) == []

    expect(page.get_by_role("link", name="Admin")).to_be_visible()
    page.get_by_role("button", name="Sign out").click()

    expect(page).to_have_url(re.compile("/login/$"))


def test_a_wrong_password_is_told_at_its_field_and_the_right_one_opens_the_page(page, ann):
    page.goto("/profile/")
    page.keyboard.type("ann@acme.example")
    page.keyboard.press("Tab")
    page.keyboard.type("not this one")
    page.keyboard.press("Enter")
    expect(page.get_by_label("Password")).to_have_attribute("aria-invalid", "true")
    expect(page.get_by_text("E-mail and password don’t match.")).to_be_visible()
    expect(page.get_by_label("E-mail")).to_have_value("ann@acme.example")

    page.get_by_label("Password").fill(PASSWORD)
    page.keyboard.press("Enter")

    expect(page).to_have_url(re.compile("/profile/$"))
    expect(page.get_by_role("heading", name="Your profile")).to_be_visible()


def test_an_invited_person_comes_in(page, sign_in, acme, ann):
    sign_in(ann, acme)
    page.goto("/members/")
    page.get_by_label("E-mail").fill("bea@acme.example")
    page.get_by_role("button", name="Make a link").click()
    link = page.get_by_label("Invitation link").input_value()
    page.context.clear_cookies()

    page.goto(link)
    page.get_by_label("Your name").fill("Bea Berg")
    page.get_by_label("Password", exact=True).fill("purple monkey dishwasher")
    page.get_by_label("Password again").fill("purple monkey dishwasher")
    page.get_by_role("button", name="Create account and join").click()
    page.goto("/profile/")

    expect(page.get_by_role("cell", name="Acme")).to_be_visible()
    assert Membership.objects.get(user__email="bea@acme.example").role == "reviewer"


def test_a_member_is_removed_after_a_question(page, sign_in, acme, ann):
    vera = make_user(acme, role="viewer", name="Vera")
    sign_in(ann, acme)
    page.goto("/members/")

    page.get_by_role("link", name="Remove Vera").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_role("heading", name="Remove Vera")).to_be_visible()
    assert serious(page) == []
    page.keyboard.press("Escape")
    expect(dialog).not_to_be_visible()
    assert Membership.objects.filter(user=vera).exists()

    page.get_by_role("link", name="Remove Vera").click()
    dialog.get_by_role("button", name="Remove Vera").click()

    expect(page.get_by_text("Vera is no longer a member.")).to_be_visible()
    expect(page).to_have_url(re.compile("/members/$"))
    assert not Membership.objects.filter(user=vera).exists()


def test_the_organisation_is_renamed_in_a_dialog(page, sign_in, acme, ann):
    sign_in(ann, acme)
    page.goto("/members/")

    page.get_by_role("link", name="Rename Acme").click()
    name = page.get_by_role("dialog", name="Rename Acme").get_by_label("Name")
    expect(name).to_be_focused()
    name.fill(" ")
    page.keyboard.press("Control+Enter")
    expect(page.get_by_text("This field is required.")).to_be_visible()
    name.fill("Acme & Sons")
    page.keyboard.press("Control+Enter")

    expect(page.get_by_text("The organisation is called Acme & Sons now.")).to_be_visible()
    expect(page.get_by_role("button", name="switch project")).to_contain_text("Acme & Sons")


def test_a_token_is_copied_with_one_press(page, sign_in, acme, ann):
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    sign_in(ann, acme)
    page.goto("/tokens/")
    page.get_by_label("Name").fill("CI")
    page.get_by_role("button", name="Make token").click()
    secret = page.get_by_label("Token", exact=True).input_value()

    page.get_by_role("button", name="Copy").click()
    expect(page.get_by_text("Copied.")).to_be_visible()

    assert page.evaluate("navigator.clipboard.readText()") == secret
    assert serious(page) == []


def test_the_theme_is_seen_while_it_is_chosen_and_kept_when_saved(page, sign_in, acme, ann):
    sign_in(ann, acme)
    page.goto("/profile/")
    root = page.locator("html")

    page.get_by_label("Theme").select_option("dark")
    expect(root).to_have_attribute("data-theme", "dark")
    page.get_by_role("button", name="Save").click()
    page.goto("/members/")

    expect(root).to_have_attribute("data-theme", "dark")


@pytest.mark.parametrize("page_options", [{"java_script_enabled": False}])
def test_everything_works_without_scripts(page, acme, ann):
    vera = make_user(acme, role="viewer", name="Vera")
    page.goto("/members/")
    page.get_by_label("E-mail").fill("ann@acme.example")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("combobox", name="Role of Vera").select_option("lead")
    page.get_by_role("button", name="Change the role of Vera").click()
    expect(page.get_by_text("Vera is now evaluation lead.")).to_be_visible()
    assert Membership.objects.get(user=vera).role == "lead"

    page.get_by_role("link", name="Remove Vera").click()
    page.get_by_role("button", name="Remove Vera").click()

    expect(page.get_by_text("Vera is no longer a member.")).to_be_visible()
    expect(page.get_by_role("button", name="Copy")).to_have_count(0)
