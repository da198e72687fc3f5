"""The shell's own behaviour, on pages that only tests serve."""

import re

import pytest
from django.test import override_settings
from playwright.sync_api import expect

from evalhub.accounts.models import Membership, Organization, User
from tests.browser.conftest import serious
from tests.web.shell_pages import TEMPLATES

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.fixture(autouse=True)
def shell_pages():
    with override_settings(ROOT_URLCONF="tests.web.shell_pages", TEMPLATES=TEMPLATES):
        yield


@pytest.fixture
def signed_in(page, sign_in):
    organization = Organization.objects.create(name="Acme", slug="acme")
    other = Organization.objects.create(name="Beta", slug="beta")
    user = User.objects.create_user("ines@acme.example", name="Ines Kowalski")
    for each in (organization, other):
        Membership.objects.create(organization=each, user=user, role="admin")
    sign_in(user, organization)
    return user


@pytest.mark.parametrize(("scheme", "width"), [("light", 1440), ("dark", 375)])
@pytest.mark.parametrize(
    "address", ["/styleguide/?mistakes=1", "/styleguide/dialog/", "/list/?result=2", "/broken/404/", "/focus/"]
)
def test_every_part_keeps_nobody_out(page, signed_in, scheme, width, address):
    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size({"width": width, "height": 900})

    page.goto(address)

    assert serious(page) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_open_menus_and_dialogs_keep_nobody_out(page, signed_in):
    page.goto("/styleguide/")

    for opener in ("switch project", "More actions", "account menu"):
        page.get_by_role("button", name=opener).click()
        assert serious(page) == []
        page.keyboard.press("Escape")
    page.keyboard.press("?")

    expect(page.get_by_role("dialog", name="Shortcuts")).to_be_visible()
    assert serious(page) == []


def test_the_keys_walk_a_list_and_its_drawer(page, signed_in):
    page.goto("/list/")
    drawer = page.locator("#drawer")

    page.keyboard.press("j")
    page.keyboard.press("j")
    expect(page.get_by_role("link", name="Case 2")).to_be_focused()
    expect(drawer).to_be_hidden()

    page.keyboard.press("Enter")
    expect(drawer.get_by_role("heading")).to_have_text("Result 2")
    expect(page).to_have_url(re.compile(r"/list/\?result=2$"))

    page.keyboard.press("j")
    expect(drawer.get_by_role("heading")).to_have_text("Result 3")
    expect(page).to_have_url(re.compile(r"/list/\?result=3$"))
    expect(page.locator("[data-row].is-open")).to_have_text("Case 3")

    page.keyboard.press("Escape")
    expect(drawer).to_be_hidden()
    expect(page.get_by_role("link", name="Case 3")).to_be_focused()
    expect(page).to_have_url(re.compile(r"/list/$"))


def test_back_closes_the_drawer_and_forward_opens_it(page, signed_in):
    page.goto("/list/")
    drawer = page.locator("#drawer")

    page.get_by_role("link", name="Case 4").click()
    expect(drawer.get_by_role("heading")).to_have_text("Result 4")
    page.go_back()
    expect(drawer).to_be_hidden()
    page.go_forward()

    expect(drawer.get_by_role("heading")).to_have_text("Result 4")


def test_a_link_to_an_open_drawer_shows_it(page, signed_in):
    page.goto("/list/?result=5")

    expect(page.locator("#drawer").get_by_role("heading")).to_have_text("Result 5")


def test_o_opens_the_full_page(page, signed_in):
    page.goto("/list/")

    page.keyboard.press("j")
    page.keyboard.press("o")

    expect(page).to_have_url(re.compile(r"/list/1/$"))


def test_a_verdict_key_posts_once_and_says_so(page, signed_in):
    page.goto("/list/?result=2")
    posts = []
    page.on("request", lambda request: posts.append(request.post_data) if request.method == "POST" else None)

    page.keyboard.press("p")

    expect(page.locator("#toasts")).to_contain_text("Case 2: passed.")
    assert [post.split("&")[-1] for post in posts] == ["verdict=passed"]


def test_single_keys_rest_in_fields_dialogs_and_when_switched_off(page, signed_in):
    page.goto("/list/?result=2")
    posts = []
    page.on("request", lambda request: posts.append(request.url) if request.method == "POST" else None)

    page.get_by_label("Note").fill("")
    page.keyboard.type("pf?")
    expect(page.get_by_label("Note")).to_have_value("pf?")
    page.keyboard.press("Escape")
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_be_visible()
    page.keyboard.press("p")
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_be_hidden()
    page.keyboard.press("Alt+p")
    User.objects.update(shortcuts=False)
    page.reload()
    page.keyboard.press("p")
    page.keyboard.press("j")

    expect(page.locator("[data-row].is-open")).to_have_text("Case 2")
    assert posts == []


def test_slash_finds_the_search_and_sequences_follow_links(page, signed_in):
    page.goto("/styleguide/")

    page.keyboard.press("/")
    expect(page.get_by_role("main").get_by_role("searchbox")).to_be_focused()
    page.keyboard.press("Escape")
    page.keyboard.press("g")
    page.keyboard.press("t")

    expect(page).to_have_url(re.compile(r"/list/$"))


def test_ticking_rows_shows_the_bulk_bar(page, signed_in):
    page.goto("/styleguide/")
    bar = page.get_by_role("region", name="Actions on the selection")
    expect(bar).to_be_hidden()

    page.keyboard.press("j")
    page.keyboard.press("x")
    expect(bar).to_contain_text("1 selected")
    page.get_by_label("Select all on this page").check()
    expect(bar).to_contain_text("3 selected")
    bar.get_by_text("Select all 214").click()
    expect(bar).to_contain_text("All 214 selected")
    assert page.locator("#bulk [name=select]").input_value() == "all"
    page.get_by_label("Select EU nightly").uncheck()
    expect(bar).to_contain_text("2 selected")
    assert page.locator("#bulk [name=select]").input_value() == ""
    bar.get_by_role("button", name="Clear selection").click()

    expect(bar).to_be_hidden()


def test_a_dialog_of_the_page_gives_the_focus_back(page, signed_in):
    page.goto("/styleguide/")

    page.keyboard.press("a")
    dialog = page.get_by_role("dialog", name="Assign reviewers")
    expect(dialog.get_by_label("Round")).to_be_focused()
    page.keyboard.press("Escape")

    expect(dialog).to_be_hidden()
    expect(page.get_by_role("button", name="Assign reviewers")).to_be_focused()


def test_a_remote_dialog_shows_mistakes_and_closes_when_done(page, signed_in):
    page.goto("/styleguide/")

    page.get_by_role("button", name="More actions").click()
    page.get_by_role("menuitem", name="Open in a dialog").click()
    dialog = page.get_by_role("dialog", name="Rename")
    dialog.get_by_role("textbox", name="Name").fill("a name that is far too long for this")
    dialog.get_by_label("Threshold").fill("1.4")
    dialog.get_by_text("Reviewer").check()
    dialog.get_by_role("button", name="Save").click()
    expect(dialog.get_by_text("Enter a number from 0 to 1.")).to_be_visible()
    expect(dialog.get_by_label("Threshold")).to_be_focused()
    dialog.get_by_label("Threshold").fill("0.8")
    page.keyboard.press("Control+Enter")

    expect(dialog).to_be_hidden()
    expect(page.locator("#toasts")).to_contain_text("Renamed.")


def test_a_message_can_be_undone_with_a_key(page, signed_in):
    page.goto("/styleguide/")

    page.keyboard.press("a")
    page.get_by_role("textbox", name="Round").fill("Nightly")
    page.keyboard.press("Control+Enter")
    expect(page.locator("#toasts")).to_contain_text("Case 412 reviewed.")
    page.keyboard.press("u")

    expect(page.locator("#toasts")).to_contain_text("Taken back.")


def test_a_fragment_that_fails_says_so_in_its_place(page, signed_in):
    page.goto("/list/")

    page.route("**/list/3/", lambda route: route.continue_(url=route.request.url.replace("/list/3/", "/broken/404/")))
    page.get_by_role("link", name="Case 3").click()

    expect(page.locator("#drawer")).to_contain_text("This page isn’t here")


@pytest.mark.parametrize("forgiven", [("console: Failed to load resource: the server responded with a status of 500",)])
@pytest.mark.parametrize(
    ("status", "heading", "way"),
    [(403, "You can’t do this here", "Go to runs"), (404, "This page isn’t here", "Go to runs"),
     (500, "That didn’t work", "Try again")],
)  # fmt: skip
def test_an_error_wears_the_house_look_and_leads_on(page, signed_in, forgiven, status, heading, way):
    answer = page.goto(f"/broken/{status}/")

    assert answer.status == status
    expect(page.get_by_role("heading", level=1)).to_have_text(heading)
    button = page.get_by_role("link", name=way)
    expect(button).to_be_visible()
    assert button.evaluate("one => getComputedStyle(one).backgroundColor") == "rgb(52, 81, 209)"
    assert serious(page) == []


@pytest.mark.parametrize("forgiven", [("console: Failed to load resource: net::", "console: htmx: htmx:error")])
def test_no_answer_becomes_a_message(page, signed_in, forgiven):
    page.goto("/list/")

    page.route("**/list/3/", lambda route: route.abort("connectionfailed"))
    page.get_by_role("link", name="Case 3").click()

    expect(page.locator("#toasts")).to_contain_text("The server didn’t answer.")


@pytest.mark.parametrize("page_options", [{"java_script_enabled": False}])
def test_without_scripts_links_menus_and_forms_still_work(page, signed_in, page_options):
    page.goto("/list/")
    page.get_by_role("link", name="Case 3").click()
    expect(page.get_by_role("heading", name="Result 3")).to_be_visible()

    page.goto("/styleguide/")
    page.get_by_role("button", name="More actions").click()
    page.get_by_role("menuitem", name="Archive").click()

    expect(page.locator("#toasts")).to_contain_text("Case 412 reviewed.")


@pytest.mark.parametrize("page_options", [{"java_script_enabled": False}])
def test_without_scripts_a_message_covers_nothing(page, signed_in, page_options):
    page.goto("/styleguide/")
    page.get_by_role("button", name="More actions").click()
    page.get_by_role("menuitem", name="Archive").click()

    message, app = page.locator("#toasts").bounding_box(), page.locator(".app").bounding_box()

    assert 0 <= message["y"] < message["y"] + message["height"] <= app["y"]
    page.goto("/styleguide/")
    expect(page.locator("[data-toast]")).to_have_count(0)


def test_a_review_is_written_with_the_keyboard_alone(page, signed_in):
    page.goto("/focus/")
    posts = []
    page.on("request", lambda request: posts.append(request.post_data) if request.method == "POST" else None)

    page.keyboard.press("f")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("3")
    page.get_by_label("Note").focus()
    page.keyboard.type("pass? no: 1, 2")
    page.keyboard.press("Control+Enter")

    expect(page.locator("#toasts")).to_contain_text("Case 412 reviewed.")
    assert [post.partition("&")[2] for post in posts] == ["verdict=failed&tone=3&note=pass%3F+no%3A+1%2C+2"]


def test_a_repeated_key_sends_a_form_once(page, signed_in):
    page.goto("/focus/")
    posts = []
    page.on("request", lambda request: posts.append(request.url) if request.method == "POST" else None)

    page.evaluate(
        """() => {
        for (const repeat of [false, true, true]) {
          const event = new KeyboardEvent("keydown", { key: "Enter", ctrlKey: true, repeat, bubbles: true });
          document.body.dispatchEvent(event);
        }
        document.querySelector("[data-key='mod+enter']").click();
      }"""
    )

    expect(page.locator("#toasts")).to_contain_text("Case 412 reviewed.")
    assert len(posts) == 1


def test_the_review_has_its_key_sheet_and_ways_out(page, signed_in):
    page.goto("/focus/")

    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Shortcuts")).to_be_visible()
    page.keyboard.press("Escape")
    page.keyboard.press("g")
    page.keyboard.press("q")

    expect(page).to_have_url(re.compile("/reviews/$"))


def test_hostile_text_does_nothing_in_a_browser(page, signed_in):
    alarms = []
    page.on("dialog", lambda dialog: (alarms.append(dialog.message), dialog.dismiss()))
    page.on("popup", lambda popup: alarms.append(popup.url))
    asked = []
    page.on("request", lambda request: asked.append(request.url))

    page.goto("/hostile/")
    page.keyboard.press("p")
    page.keyboard.press("Tab")
    for section in page.locator("main section").all():
        section.hover(position={"x": 4, "y": 4})
    page.wait_for_timeout(300)

    assert alarms == []
    assert page.url.endswith("/hostile/")
    assert [url for url in asked if "/static/" not in url] == [page.url]


def test_a_lost_session_leads_to_the_login_page_and_back(page, signed_in):
    page.goto("/list/")

    page.context.clear_cookies()
    page.route("**/list/3/", lambda route: route.continue_(url=route.request.url.replace("/list/3/", "/closed/")))
    page.get_by_role("link", name="Case 3").click()

    expect(page).to_have_url(re.compile(r"/login/\?next=%2Flist%2F"))


def test_the_address_of_a_page_is_copied_whole(page, signed_in):
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.goto("/styleguide/")

    page.get_by_role("button", name="More actions").click()
    page.get_by_role("menuitem", name="Copy link").click()

    expect(page.locator("#toasts")).to_contain_text("Copied.")
    assert page.evaluate("navigator.clipboard.readText()") == f"{page.url.split('/styleguide')[0]}/styleguide/"
