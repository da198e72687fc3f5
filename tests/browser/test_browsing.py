"""Browsing runs and results, as people do it: with the keyboard, without scripts, on a phone, in the dark."""

import re

import pytest
from playwright.sync_api import expect

from evalhub.accounts.actor import Actor
from evalhub.accounts.rights import Role
from results.annotating import Target, annotate
from results.assigning import assign_reviewers
from results.models import ReviewAssignment, ReviewRound, TestResult
from results.records import Judgement, StepRecord
from results.reviewing import submit_review
from runs.evaluators import EvaluatorSpec
from runs.models import Comment, TestRun
from tests.browser.conftest import serious
from tests.factories import (
    make_case,
    make_configuration,
    make_organization,
    make_project,
    make_result,
    make_results,
    make_run,
    make_user,
)

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

PHONE = {"viewport": {"width": 375, "height": 812}}
DARK = {"color_scheme": "dark"}
WITHOUT_SCRIPTS = {"java_script_enabled": False}
GRADE = EvaluatorSpec(name="Groundedness", who="ai", value_type="percentage", threshold=0.8)
TALK = [
    {
        "turn": 1,
        "messages": [
            {"role": "user", "content": "Can I send them back?"},
            {
                "role": "assistant",
                "content": "Within **30 days**.",
                "tool_calls": [{"name": "lookup", "arguments": {"id": 1}}],
            },
            {"role": "tool", "name": "lookup", "content": '{"delivered": "2026-05-06"}'},
        ],
        "success": True,
        "latency_ms": 2100,
    },
    {"turn": 2, "messages": [{"role": "assistant", "content": "I’ve issued it."}], "success": False},
]
HOSTILE = """<h1>Report</h1><base href="https://evil.example/"><link rel="preconnect" href="https://evil.example/">
<meta http-equiv="refresh" content="0;url=https://evil.example/">
<script>parent.document.title = "owned"; alert(1)</script>
<img src="https://evil.example/x.png" onerror="alert(1)"><style>@import url(https://evil.example/x.css);
body { background: url(https://evil.example/y.png) }</style><a href="https://evil.example/" target="_top">leave</a>
<form action="https://evil.example/"><button>send</button></form><iframe src="https://evil.example/"></iframe>"""


@pytest.fixture
def organization():
    return make_organization(name="Acme")


@pytest.fixture
def lead(organization):
    return make_user(organization, Role.LEAD, name="Ines Kowalski")


@pytest.fixture
def run(organization, lead):
    project = make_project(organization, name="Support bot")
    run = make_run(
        project,
        name="Nightly",
        status="completed",
        by=lead,
        branch="main",
        commit="9f3a2c1",
        configuration=make_configuration(project),
    )
    for name, value in (
        ("Refund after 30 days", 0.31),
        ("Gift card", 0.4),
        ("Lost parcel", 0.95),
        ("Price match", 0.9),
    ):
        make_result(
            run,
            name=name,
            case=make_case(project, name=name, tags=["refunds"]).pk,
            expected={"expected": "A repair first."},
            conversation=TALK if name == "Refund after 30 days" else [],
            output=None if name == "Refund after 30 days" else {"output": f"{name}: **yes**, of course."},
            evaluations=[Judgement(evaluator=GRADE, value=value, explanation="Reads well.")],
            steps=[StepRecord(kind="llm", name="answer", latency_ms=900, outputs={"text": "yes"})],
            usage={"gpt-x": {"input": 700, "output": 90}},
            latency_ms=1200 * value,
            cost=0.002 + value / 1000,
            tags=["refunds"],
            metadata={"trace": "https://traces.example.com/1"},
        )
    return run


@pytest.fixture
def reviewed(run, lead):
    ann = make_user(run.organization, Role.REVIEWER, name="Ann Berg")
    result = TestResult.objects.get(name="Refund after 30 days")
    review_round = ReviewRound.objects.create(
        organization=run.organization, project=run.project, run=run, name="First look", seed=1
    )
    ReviewAssignment.objects.create(
        organization=run.organization, round=review_round, result=result, reviewer=ann, assigned_by=lead
    )
    submit_review(result, by=ann, verdict="passed", comment="It did issue it.")
    Comment.objects.create(
        organization=run.organization, entity_type="result", entity_id=result.pk, author=ann, text="See turn 2.", turn=2
    )
    return result


def path_of(page):
    return re.sub(r"^https?://[^/]+", "", page.url)


def row(page, name):
    return page.get_by_role("row", name=re.compile(name))


# --- the runs list ----------------------------------------------------------------------------------------------------


def test_a_row_is_opened_with_the_keyboard(page, sign_in, lead, run):
    sign_in(lead)
    page.goto("/runs/")

    page.keyboard.press("j")
    expect(page.get_by_role("link", name="Nightly")).to_be_focused()
    page.keyboard.press("Enter")

    expect(page.get_by_role("heading", level=1)).to_contain_text("Nightly")
    expect(page).to_have_url(re.compile(f"/runs/{run.pk}/$"))


def test_rows_are_ticked_archived_and_brought_back(page, sign_in, lead, run):
    make_run(run.project, name="Weekly")
    sign_in(lead)
    page.goto("/runs/")
    bar = page.get_by_role("region", name="Actions on the selection")
    expect(bar).to_be_hidden()

    page.keyboard.press("j")
    page.keyboard.press("x")
    expect(bar).to_contain_text("1 selected")
    bar.get_by_role("button", name="Archive").click()

    expect(page.get_by_role("status")).to_contain_text("Archived “Weekly")
    expect(page.get_by_role("link", name="Weekly")).to_have_count(0)
    page.keyboard.press("u")
    expect(page.get_by_role("link", name="Weekly")).to_be_visible()


def test_the_ticked_runs_go_into_the_assign_dialog(page, sign_in, lead, run):
    sign_in(lead)
    page.goto("/runs/")

    page.keyboard.press("j")
    page.keyboard.press("x")
    page.keyboard.press("a")

    expect(page.get_by_role("dialog")).to_contain_text("Assign reviewers")
    expect(page.get_by_role("dialog")).to_contain_text("4 results")


def test_filters_are_a_dialog_and_become_chips(page, sign_in, lead, run):
    make_run(run.project, name="Weekly", branch="next")
    sign_in(lead)
    page.goto("/runs/")

    page.get_by_role("link", name="Filters").click()
    page.get_by_role("dialog").get_by_label("Branch").fill("next")
    page.get_by_role("button", name="Show runs").click()

    expect(page).to_have_url(re.compile(r"/runs/\?branch=next$"))
    expect(page.get_by_role("link", name="Nightly")).to_have_count(0)
    page.get_by_role("link", name="Remove filter Branch next").click()
    expect(page.get_by_role("link", name="Nightly")).to_be_visible()


def test_a_running_row_moves_by_itself_and_rests_when_the_run_has_ended(page, sign_in, lead, run):
    running = make_run(run.project, name="Under way", status="running", planned_count=2)
    make_results(running, passed=1)
    sign_in(lead)
    page.goto("/runs/")
    expect(row(page, "Under way")).to_contain_text("1 / 2")

    make_results(running, passed=1)
    TestRun.objects.get(pk=running.pk).finish()

    expect(row(page, "Under way")).to_contain_text("100.0", timeout=15_000)
    expect(row(page, "Under way")).to_contain_text("Completed")
    expect(page.locator("[hx-trigger]")).to_have_count(0)


# --- one run ----------------------------------------------------------------------------------------------------------


def test_the_drawer_keeps_the_list_and_follows_j_and_k(page, sign_in, lead, run):
    sign_in(lead)
    page.goto(f"/runs/{run.pk}/")
    drawer = page.locator("#drawer")

    page.keyboard.press("j")
    page.keyboard.press("Enter")
    expect(drawer.get_by_role("heading", level=2)).to_have_text("Refund after 30 days")
    expect(page).to_have_url(re.compile(r"\?result="))
    page.keyboard.press("j")
    expect(drawer.get_by_role("heading", level=2)).to_have_text("Gift card")
    expect(page.get_by_role("link", name="Lost parcel")).to_be_visible()
    page.keyboard.press("Escape")

    expect(drawer).to_be_hidden()
    expect(page.get_by_role("link", name="Gift card")).to_be_focused()
    assert path_of(page) == f"/runs/{run.pk}/"


def test_the_drawer_goes_over_the_end_of_a_page_and_back(page, sign_in, lead, run):
    for number in range(50):
        make_result(run, name=f"Extra {number}")
    sign_in(lead)
    page.goto(f"/runs/{run.pk}/?result=last&sort=position")
    heading = page.locator("#drawer").get_by_role("heading", level=2)
    end = heading.inner_text()

    page.keyboard.press("j")
    expect(page).to_have_url(re.compile(r"cursor="))
    start = page.locator("tr[data-row]").first.locator(".cell-link").inner_text()
    expect(heading).to_have_text(start)
    expect(page).to_have_url(re.compile(r"result=[0-9a-f]{8}-"))
    page.keyboard.press("k")

    expect(heading).to_have_text(end)
    expect(page.locator("tr[data-row]").last).to_have_class(re.compile("is-open"))
    expect(page.locator("tr[data-row]").last).to_be_in_viewport()


def test_the_drawers_address_opens_it_again(page, sign_in, lead, run):
    result = TestResult.objects.get(name="Lost parcel")
    sign_in(lead)

    page.goto(f"/runs/{run.pk}/?outcome=passed&result={result.pk}")

    expect(page.locator("#drawer").get_by_role("heading", level=2)).to_have_text("Lost parcel")
    expect(page.locator("tr.is-open")).to_contain_text("Lost parcel")


@pytest.mark.parametrize("page_options", [{"viewport": {"width": 1366, "height": 768}}])
def test_beside_the_drawer_the_list_stays_a_table_on_a_laptop(page, sign_in, lead, run):
    result = TestResult.objects.get(name="Lost parcel")
    sign_in(lead)

    page.goto(f"/runs/{run.pk}/?result={result.pk}")

    expect(page.locator(".results thead th").first).to_be_in_viewport()
    assert page.locator("tr[data-row]").first.bounding_box()["height"] == 36


def test_the_marks_of_many_evaluators_and_many_reviewers_find_room_in_every_list(page, sign_in, lead, run):
    for number in (7, 8, 12, 22):
        judgements = [Judgement(evaluator=f"Check {one}", value=0.9, passed=one > 2) for one in range(number)]
        make_result(run, name=f"Judged by {number}", evaluations=judgements)
    people = [make_user(run.organization, Role.REVIEWER, name=name) for name in ("Mo Wu", "Wim Ma", "Ann Lo", "Bo Mi")]
    assign_reviewers(list(run.results.all()), people, by=lead, overlap=4)
    sign_in(lead)

    cut = {}
    for path in (f"/runs/{run.pk}/", f"/runs/{run.pk}/?result={run.results.first().pk}", "/results/"):
        page.goto(path)
        cut[path] = page.evaluate(
            """[...document.querySelectorAll(".results tbody :is(.c-marks, td:last-child)")]
                .filter((one) => one.scrollWidth > one.clientWidth).length"""
        )

    assert set(cut.values()) == {0}


def test_the_output_is_switched_inside_the_drawer(page, sign_in, lead, run):
    result = TestResult.objects.get(name="Gift card")
    sign_in(lead)
    page.goto(f"/runs/{run.pk}/?result={result.pk}")
    drawer = page.locator("#drawer")

    drawer.get_by_role("link", name="JSON").click()
    expect(drawer.get_by_role("region", name="Output as JSON")).to_contain_text('"output"')
    drawer.get_by_role("link", name="Diff").click()

    expect(drawer.locator("ins").first).to_be_visible()
    expect(drawer.get_by_role("heading", name="Evaluations")).to_be_visible()


def test_a_turn_is_commented_on_from_its_line(page, sign_in, lead, run):
    result = TestResult.objects.get(name="Refund after 30 days")
    sign_in(lead)
    page.goto(f"/runs/{run.pk}/?result={result.pk}")
    drawer = page.locator("#drawer")

    drawer.get_by_role("link", name="Comment on turn 2").click()
    expect(drawer.get_by_label("Add a comment")).to_be_focused()
    page.keyboard.type("Nothing was issued.")
    page.keyboard.press("Control+Enter")

    expect(drawer.locator("#turn-2 .note")).to_contain_text("Nothing was issued.")


def test_a_comment_is_written_changed_and_taken_back_in_its_place(page, sign_in, lead, run):
    page.set_viewport_size({"width": 1440, "height": 500})
    sign_in(lead)
    page.goto(f"/runs/{run.pk}/?result={run.results.first().pk}")
    drawer = page.locator("#drawer")

    page.keyboard.press("m")
    page.keyboard.type("Frist")
    read = drawer.locator(".drawer__body").evaluate("(one) => one.scrollTop")
    page.keyboard.press("Control+Enter")
    expect(drawer.locator(".comment__body")).to_have_text("Frist")
    assert drawer.locator(".drawer__body").evaluate("(one) => one.scrollTop") == read > 0
    edit, delete = drawer.get_by_role("link", name="Edit this"), drawer.get_by_role("button", name="Delete this")
    assert edit.bounding_box()["y"] == delete.bounding_box()["y"]
    edit.click()
    dialog = page.get_by_role("dialog", name="Edit your comment")
    dialog.get_by_label("Comment").fill("First")
    page.keyboard.press("Control+Enter")
    expect(drawer.locator(".comment__body")).to_have_text("First")
    page.locator("html[data-ready]").wait_for(state="attached")
    drawer.get_by_role("button", name="Delete this").click()
    expect(drawer.locator(".comment__body")).to_have_count(0)
    page.keyboard.press("u")

    expect(page.locator("#drawer .comment__body")).to_have_text("First")


def test_a_verdict_on_a_turn_stands_in_the_conversation(page, sign_in, lead, run):
    result = TestResult.objects.get(name="Refund after 30 days")
    actor = Actor(user=lead, organization=run.organization, role=Role.LEAD)
    annotate(result, by=actor, target=Target(turn=2), passed=False, comment="Nothing was issued.", via="api")
    sign_in(lead)

    page.goto(f"/runs/{run.pk}/?result={result.pk}")

    expect(page.locator("#drawer #turn-2 .note")).to_contain_text("Ines Kowalski on this turn: Fail")
    expect(page.locator("#drawer #turn-1 .note")).to_have_count(0)
    assert serious(page) == []


def test_a_field_that_was_drawn_larger_breaks_no_rule_when_the_drawer_changes(page, sign_in, lead, run):
    sign_in(lead)
    page.goto(f"/runs/{run.pk}/?result={TestResult.objects.get(name='Gift card').pk}")
    page.locator("#drawer textarea").scroll_into_view_if_needed()
    corner = page.locator("#drawer textarea").bounding_box()
    x, y = corner["x"] + corner["width"] - 4, corner["y"] + corner["height"] - 4

    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x, y + 60, steps=4)
    page.mouse.up()
    assert page.locator("#drawer textarea").bounding_box()["height"] > corner["height"] + 40
    page.locator("#drawer").focus()
    page.keyboard.press("f")

    expect(page.get_by_text("Fail saved for Gift card.")).to_be_visible()  # and the page complained of nothing


def test_addresses_in_metadata_are_links_to_elsewhere(page, sign_in, lead, run):
    result = TestResult.objects.get(name="Gift card")
    sign_in(lead)
    page.goto(f"/results/{result.pk}/")

    link = page.get_by_role("link", name="https://traces.example.com/1")

    expect(link).to_have_attribute("href", "https://traces.example.com/1")
    expect(link).to_have_attribute("rel", "noopener noreferrer nofollow")
    assert link.bounding_box()["height"] < 30  # its icon stands beside it


@pytest.mark.parametrize("page_options", [PHONE])
def test_a_phone_has_a_way_from_the_top_of_a_result_to_its_review(page, sign_in, lead, run):
    sign_in(lead)
    page.goto(f"/results/{TestResult.objects.get(name='Gift card').pk}/")

    page.get_by_role("link", name="Your review").click()

    expect(page.get_by_role("button", name="Can’t tell")).to_be_in_viewport()


def test_whatever_has_the_focus_shows_it(page, sign_in, lead, run):
    sign_in(lead)
    for path, presses in (("/runs/", 40), (f"/results/{TestResult.objects.get(name='Gift card').pk}/", 45)):
        page.goto(path)
        unseen = []
        for _ in range(presses):
            page.keyboard.press("Tab")
            unseen += page.evaluate(UNSEEN)

        assert (path, unseen) == (path, [])


UNSEEN = """() => {
  const ringed = (element) => element && getComputedStyle(element).outlineStyle !== "none" &&
    parseFloat(getComputedStyle(element).outlineWidth) >= 1;
  const here = document.activeElement;
  if (!here || here === document.body || here.tagName === "IFRAME") return [];
  const around = [here, here.nextElementSibling, here.closest("tr"), here.closest("form")];
  return around.some(ringed) ? [] : [here.outerHTML.slice(0, 120)];
}"""


def test_a_summary_row_opens_its_results(page, sign_in, lead, run):
    sign_in(lead)
    page.goto(f"/runs/{run.pk}/?tab=summary")

    page.get_by_role("link", name="Groundedness").click()

    expect(page.locator("tr[data-row]")).to_have_count(2)
    expect(page.get_by_role("link", name="Remove filter Groundedness fail")).to_be_visible()


def test_a_score_sorts_by_its_column(page, sign_in, lead, run):
    sign_in(lead)
    page.goto(f"/runs/{run.pk}/")

    page.get_by_role("link", name="Filters").click()
    page.locator("select[name=evaluator]").select_option(label="Groundedness")
    page.get_by_role("button", name="Show results").click()
    page.get_by_role("columnheader", name="Groundedness").get_by_role("link").click()

    expect(page.locator("tr[data-row] .cell-link")).to_have_text(
        ["Refund after 30 days", "Gift card", "Price match", "Lost parcel"]
    )


# --- hostile HTML -----------------------------------------------------------------------------------------------------


def test_html_in_the_frame_cannot_run_call_out_or_lead_away(page, sign_in, lead, run):
    result = make_result(run, name="Hostile", output={"page": HOSTILE}, render_html_key="page")
    sign_in(lead)
    dialogs = []
    page.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))

    page.goto(f"/results/{result.pk}/")
    frame = page.frame_locator("iframe")
    expect(frame.get_by_role("heading", name="Report")).to_be_visible()
    expect(frame.locator("a, img, form, iframe, link, meta[http-equiv], base, script")).to_have_count(0)
    page.wait_for_timeout(300)

    assert dialogs == []
    assert "owned" not in page.title()
    assert path_of(page) == f"/results/{result.pk}/"


# --- everybody --------------------------------------------------------------------------------------------------------


def pages_of(run, result):
    return [
        "/runs/",
        "/runs/filters/",
        f"/runs/{run.pk}/",
        f"/runs/{run.pk}/?result={result.pk}",
        f"/runs/{run.pk}/?tab=summary",
        f"/runs/{run.pk}/?tab=reviews",
        f"/runs/{run.pk}/?tab=configuration",
        f"/runs/{run.pk}/filters/",
        "/results/",
        f"/results/{result.pk}/",
        f"/results/{result.pk}/?show=json",
        f"/results/{result.pk}/?show=diff",
        f"/results/{result.pk}/steps/1/",
    ]


@pytest.mark.parametrize("page_options", [{**PHONE, **DARK}])  # every page has one of these states: test_every_page.py
def test_axe_finds_nothing_serious_and_nothing_sticks_out(page, sign_in, lead, run, reviewed):
    make_result(run, evaluations=[Judgement(evaluator="flaky", state="error", error="No answer.")])
    sign_in(lead)
    for path in pages_of(run, reviewed):
        page.goto(path)

        assert (path, serious(page)) == (path, [])
        assert (path, page.evaluate("document.documentElement.scrollWidth > innerWidth")) == (path, False)


def test_the_list_and_the_drawer_scroll_and_the_page_does_not(page, sign_in, lead, run, reviewed):
    sign_in(lead)
    page.goto(f"/runs/{run.pk}/?result={reviewed.pk}")

    assert page.evaluate("document.documentElement.scrollHeight - innerHeight") == 0


def test_axe_finds_nothing_serious_where_there_is_nothing(page, sign_in, organization, lead):
    sign_in(lead)
    for path in ("/runs/", "/results/", "/runs/?q=nothing"):
        page.goto(path)

        assert (path, serious(page)) == (path, [])


@pytest.mark.parametrize("page_options", [WITHOUT_SCRIPTS])
def test_without_scripts_links_and_forms_do_the_same(page, sign_in, lead, run):
    result = TestResult.objects.get(name="Refund after 30 days")
    sign_in(lead)
    page.goto("/runs/")

    page.get_by_role("link", name="Nightly").click()
    page.get_by_role("link", name="Refund after 30 days").click()
    assert path_of(page) == f"/results/{result.pk}/"
    page.get_by_role("link", name="JSON").click()
    expect(page.get_by_role("region", name="Output as JSON")).to_contain_text("30 days")
    page.get_by_label("Add a comment").fill("From a page without scripts.")
    page.get_by_role("button", name="Comment").click()
    expect(page.get_by_text("From a page without scripts.")).to_be_visible()
    page.get_by_role("link", name="Beside its list").click()
    expect(page.locator("#drawer")).to_contain_text("Refund after 30 days")
    page.get_by_role("link", name="Filters").click()
    page.get_by_label("Judge").select_option("passed")
    page.get_by_role("button", name="Show results").click()

    expect(page.locator("tr[data-row]")).to_have_count(2)


@pytest.mark.parametrize("page_options", [WITHOUT_SCRIPTS])
def test_without_scripts_the_selection_works(page, sign_in, lead, run):
    sign_in(lead)
    page.goto("/runs/")

    page.get_by_role("checkbox", name=f"Select #{run.number}").check()
    page.get_by_role("button", name="Archive").click()

    expect(page.get_by_text("Archived “Nightly")).to_be_visible()
    run.refresh_from_db()
    assert run.archived_at is not None
