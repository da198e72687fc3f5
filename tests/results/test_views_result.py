import pytest

from evalhub.accounts.rights import Role
from evalhub.audit.models import AuditEvent
from results.annotating import Target, annotate
from results.assigning import decline, withdraw
from results.models import Evaluation, ReviewAssignment, ReviewRound, TestResult
from results.recording import record_results
from results.records import Judgement, ResultRecord, StepRecord
from results.reviewing import Correction, submit_review
from runs.cases import CaseSpec, change_case
from runs.evaluators import EvaluatorSpec
from runs.models import Comment, Evaluator, Variant
from tests.factories import make_actor, make_case, make_evaluator, make_project, make_result, make_run, make_user

pytestmark = pytest.mark.django_db

DRAWER = {"HX-Request": "true", "HX-Target": "aside#drawer"}
GRADE = EvaluatorSpec(name="Groundedness", who="ai", value_type="percentage", threshold=0.8)
TALK = [
    {
        "turn": 1,
        "messages": [
            {"role": "user", "content": "Can I send them back?"},
            {
                "role": "assistant",
                "content": "Within **30 days**.",
                "tool_calls": [{"name": "orders.lookup", "arguments": {"id": "A-1"}}],
            },
            {"role": "tool", "name": "orders.lookup", "content": "delivered 2026-05-06"},
        ],
        "success": True,
        "latency_ms": 2100,
    },
    {
        "turn": 2,
        "messages": [{"role": "user", "content": "So?"}, {"role": "assistant", "content": "I’ve issued it."}],
        "success": False,
    },
]


@pytest.fixture
def actor():
    return make_actor()


@pytest.fixture
def run(actor):
    return make_run(make_project(actor.organization), name="Nightly")


@pytest.fixture
def lead(client, actor):
    client.force_login(actor.user)
    return client


def text_of(client, result, **query):
    response = client.get(f"/results/{result.pk}/", query)
    assert response.status_code == 200
    return response.content.decode()


def test_a_question_that_nobody_was_asked_awaits_a_score_and_is_not_open(lead, run):
    tone = make_evaluator(run.project, name="tone", who="human", threshold=None)
    result = make_result(run, evaluations=[Judgement(evaluator=tone, source="human", state="pending")])

    response = lead.get(f"/results/{result.pk}/")

    assert response.context["human"] == ""
    assert "Awaits a person’s score" in response.content.decode()


# --- the address ------------------------------------------------------------------------------------------------------


def test_strangers_get_404_for_page_drawer_html_step_and_comment(lead):
    theirs = make_result(
        output={"page": "<p>secret</p>"},
        render_html_key="page",
        steps=[StepRecord(name="secret")],
        external_id="their-result",
    )

    for path in (
        f"/results/{theirs.pk}/",
        "/results/their-result/",
        f"/results/{theirs.pk}/html/",
        f"/results/{theirs.pk}/steps/1/",
    ):
        assert lead.get(path).status_code == 404, path
        assert lead.get(path, headers=DRAWER).status_code == 404, path
    assert lead.post("/comments/", {"result": theirs.pk, "text": "hello"}).status_code == 404


def test_a_result_stands_under_runs(lead, run):
    text = text_of(lead, make_result(run))

    assert [link.split("</svg>")[1].split("<")[0] for link in text.split('aria-current="page"')[1:]] == ["Runs"]


def test_a_result_names_the_suites_that_it_was_in(lead, run):
    result = make_result(run, path=[{"type": "suite", "name": "Refunds"}, {"type": "suite", "name": "After 30 days"}])

    assert "<dt>Suite</dt><dd>Refunds › After 30 days</dd>" in text_of(lead, result)


def test_ids_that_differ_in_case_only_find_their_own(lead, run):
    upper, lower = make_result(run, external_id="Result-1"), make_result(run, external_id="result-1")

    found = [lead.get(f"/results/{name}/").context["result"] for name in ("Result-1", "result-1", "RESULT-1")]

    assert found == [upper, lower, lower]


def test_a_result_is_found_by_the_senders_own_id(lead, run):
    make_result(run, external_id="result-123", name="mine")

    assert lead.get("/results/result-123/").context["title"] == "mine"


def test_the_drawer_is_the_same_address_asked_for_by_htmx(lead, run):
    result = make_result(run, name="mine")

    fragment = lead.get(f"/results/{result.pk}/", headers=DRAWER).content.decode()

    assert fragment.lstrip().startswith('<div class="drawer__head">')
    assert "<html" not in fragment
    assert "An answer." in fragment


def test_the_drawer_of_who_only_reads_has_no_empty_bar(client, run):
    result = make_result(run)
    client.force_login(make_user(run.organization, Role.VIEWER))

    fragment = client.get(f"/results/{result.pk}/", headers=DRAWER).text

    assert "drawer__body" in fragment
    assert "drawer__foot" not in fragment


def test_only_the_output_is_sent_where_only_the_output_is_switched(lead, run):
    result = make_result(run)

    headers = {"HX-Request": "true", "HX-Target": f"div#output-{result.pk}"}
    fragment = lead.get(f"/results/{result.pk}/?show=json", headers=headers).content.decode()

    assert fragment.strip().startswith(f'<div id="output-{result.pk}"')
    assert "drawer__head" not in fragment


def test_the_page_leads_to_its_neighbours_and_back_to_its_list(lead, run):
    first, second, third = (make_result(run) for _ in range(3))

    text = text_of(lead, second)

    assert f'href="/results/{first.pk}/" rel="prev" data-key="k"' in text
    assert f'href="/results/{third.pk}/" rel="next" data-key="j"' in text
    assert f'href="/runs/{run.pk}/?result={second.pk}"' in text


# --- what was said ----------------------------------------------------------------------------------------------------


def test_output_is_markdown_first_and_can_be_seen_raw_as_json_and_compared(lead, run):
    result = make_result(run, output={"output": "A **bold** answer."}, expected={"expected": "A bold reply."})

    assert "<strong>bold</strong>" in text_of(lead, result)
    assert "A **bold** answer." in text_of(lead, result, show="raw")
    assert '<span class="k">&quot;output&quot;</span>' in text_of(lead, result, show="json")
    assert "reply</del>" in text_of(lead, result, show="diff")


def test_without_an_expectation_there_is_nothing_to_compare(lead, run):
    result = make_result(run)

    text = text_of(lead, result, show="diff")

    assert ">Diff</a>" not in text
    assert "An answer." in text


@pytest.mark.parametrize(
    ("reached", "word"), [(True, "Reached"), (False, "Not reached"), (None, "Can’t tell"), ("yes", "Can’t tell")]
)
def test_a_conversation_says_whether_its_goal_was_reached(lead, run, reached, word):
    weighed = {"goal": "Get a <b>refund</b>", "goal_achieved": reached, "goal_evaluation": {"reason": "They paid."}}
    result = make_result(run, conversation=TALK, output={"output": "Bye.", **weighed})

    text = text_of(lead, result)

    assert "Get a &lt;b&gt;refund&lt;/b&gt;" in text and "They paid." in text
    assert f">{word}<" in text or f"{word}</span>" in text


@pytest.mark.parametrize("goal", [7, {"a": 1}, "", None])
def test_a_goal_of_another_shape_is_only_json(lead, run, goal):
    result = make_result(run, conversation=TALK, output={"output": "Bye.", "goal": goal, "goal_achieved": True})

    assert ">Goal<" not in text_of(lead, result)


def test_a_conversation_reads_as_a_chat_with_its_tools(lead, run):
    result = make_result(run, conversation=TALK, output=None)

    text = text_of(lead, result)

    assert "Turn 2" in text
    assert "<strong>30 days</strong>" in text
    assert "orders.lookup(id=&quot;A-1&quot;)" in text
    assert "delivered 2026-05-06" in text
    assert "msg--target" in text
    assert "2.1 s" in text


@pytest.mark.parametrize(
    "conversation",
    [
        ["just text", 7, None],
        [{"turn": "one", "messages": "no list"}],
        [
            {
                "messages": [
                    1,
                    None,
                    {"role": None, "content": {"a": 1}},
                    {"role": "assistant", "content": [{"type": "image"}, "x"], "tool_calls": "?"},
                ]
            }
        ],
        [{"turn": True, "success": "yes", "latency_ms": "fast", "messages": [{"role": "tool"}]}],
    ],
)
def test_a_conversation_of_any_shape_is_shown(lead, run, conversation):
    result = make_result(run)
    TestResult.objects.filter(pk=result.pk).update(conversation=conversation)

    for show in ("", "raw", "json"):
        assert text_of(lead, result, show=show)


def test_an_error_stands_before_everything_else(lead, run):
    result = make_result(run, passed=None, output=None, error="No answer within 30 s", error_code="timeout")

    text = text_of(lead, result)

    assert "<b>timeout</b>" in text
    assert "No answer within 30 s" in text
    assert "There is no output." not in text


# --- how it was judged ------------------------------------------------------------------------------------------------


def test_evaluations_say_status_score_against_threshold_reason_and_the_human_beside(lead, run):
    ann = make_user(run.organization, name="Ann Lee")
    result = make_result(
        run, evaluations=[Judgement(evaluator=GRADE, value=0.31, explanation="No refund call exists.")]
    )
    grade = Evaluator.objects.get(name="Groundedness")
    submit_review(
        result, by=ann, verdict="", corrections=[Correction(evaluator=grade, passed=True, explanation="It is fine.")]
    )

    [judged] = lead.get(f"/results/{result.pk}/").context["judged"]

    assert (judged.outcome, judged.score, judged.limit, judged.about, judged.is_corrected) == (
        "failed",
        "0.31",
        "≥ 0.80",
        "v1 · ai",
        True,
    )
    assert [(one.author, one.passed) for one in judged.verdicts] == [(ann, True)]
    text = text_of(lead, result)
    assert "No refund call exists." in text
    assert "It is fine." in text
    assert '<tr class="is-corrected">' in text


def test_failed_evaluations_come_first_and_pending_people_are_named(lead, run):
    human = EvaluatorSpec(
        name="Looks right", who="human", value_type="label", options=[{"label": "yes", "value": 1, "passes": True}]
    )
    result = make_result(
        run,
        evaluations=[
            Judgement(evaluator=GRADE, value=0.9),
            Judgement(
                evaluator=EvaluatorSpec(name="Length", threshold=100, operator="<=", direction="lower"), value=120
            ),
            Judgement(
                evaluator=EvaluatorSpec(name="Broken"), state=Evaluation.State.ERROR, error="The judge answered 500."
            ),
            Judgement(evaluator=human, source="human", state=Evaluation.State.PENDING),
        ],
    )

    judged = lead.get(f"/results/{result.pk}/").context["judged"]

    assert [(one.name, one.outcome, one.limit) for one in judged] == [
        ("Length", "failed", "≤ 100"),
        ("Broken", "error", ""),
        ("Looks right", "pending", "= yes"),
        ("Groundedness", "passed", "≥ 0.80"),
    ]
    assert judged[2].waits_for_person
    assert "The judge answered 500." in text_of(lead, result)


def test_a_label_stands_where_a_score_does_and_below_it_the_labels_that_pass(lead, run):
    tone = EvaluatorSpec(
        name="Tone",
        value_type="label",
        options=[
            {"label": "wrong", "value": 0, "passes": False},
            {"label": "correct", "value": 1, "passes": True},
            {"label": "close", "value": 0.8, "passes": True},
        ],
    )
    result = make_result(run, evaluations=[Judgement(evaluator=tone, value=0, label="wrong")])

    [judged] = lead.get(f"/results/{result.pk}/").context["judged"]

    assert (judged.outcome, judged.score, judged.label, judged.limit) == ("failed", "wrong", "", "= correct or close")


def test_a_verdict_on_a_turn_is_shown_at_the_turn(lead, run):
    talk = [{"turn": 1, "messages": [{"role": "assistant", "content": "Yes."}]}]
    result = make_result(run, conversation=talk, evaluations=[Judgement(evaluator=GRADE, value=0.1, turn=1)])

    [turn] = lead.get(f"/results/{result.pk}/").context["turns"]

    assert turn.outcome == "failed"


# --- steps, history, details ------------------------------------------------------------------------------------------


def test_steps_are_collapsed_cut_short_and_whole_on_a_page_of_their_own(lead, run):
    long = "x" * 5000
    result = make_result(
        run,
        steps=[
            StepRecord(
                kind="llm",
                name="answer",
                latency_ms=1900,
                usage={"gpt": {"input": 1204, "output": 3}},
                outputs={"text": long},
            )
        ],
    )

    text = text_of(lead, result)
    whole = lead.get(f"/results/{result.pk}/steps/1/").content.decode()

    assert '<details class="step-line">' in text
    assert "1,207 tok" in text
    assert "more characters" in text
    assert long not in text
    assert long in whole


def test_the_case_is_shown_over_its_last_ten_runs(lead, run):
    case = make_case(run.project)
    for n in range(12):
        make_result(make_run(run.project), case=case.pk, passed=n % 2 == 0)
    result = make_result(run, case=case.pk)

    response = lead.get(f"/results/{result.pk}/")

    history = response.context["history"]
    assert len(history) == 10
    assert [seen.is_here for seen in history].count(True) == 1
    assert response.context["history_note"] == "5 of 10 fail"


def test_the_history_tells_errors_from_failures(lead, run):
    case = make_case(run.project).pk
    make_result(run, case=case, error="No answer.")
    make_result(make_run(run.project), case=case, passed=False)
    result = make_result(make_run(run.project), case=case)

    note = lead.get(f"/results/{result.pk}/").context["history_note"]

    assert note == "1 of 3 fail · 1 of 3 error"


def test_repetitions_count_together_in_the_history(lead, run):
    case = make_case(run.project)
    for n, passed in ((1, True), (2, False), (3, True)):
        result = make_result(run, case=case.pk, repetition=n, passed=passed)
    make_result(make_run(run.project), case=case.pk)

    response = lead.get(f"/results/{result.pk}/")

    assert sorted(seen.words for seen in response.context["history"]) == ["2 of 3 pass", "Pass"]
    assert [one["words"] for one in response.context["siblings"]] == ["#1", "#2", "#3"]


def test_other_variants_of_the_case_are_one_click_away(lead, run):
    for position, label in enumerate(("short", "long")):
        Variant.objects.create(organization=run.organization, run=run, position=position, label=label)
    case = make_case(run.project)
    make_result(run, case=case.pk, variant=0)
    result = make_result(run, case=case.pk, variant=1)

    assert [one["words"] for one in lead.get(f"/results/{result.pk}/").context["siblings"]] == ["short", "long"]


def test_a_case_that_changed_since_says_so(lead, run):
    record_results(run, [ResultRecord(case=CaseSpec(external_id="c", inputs={"input": "before"}))])
    result = TestResult.objects.get()
    change_case(result.case, inputs={"input": "after"})

    text = text_of(lead, result)

    assert "as of revision 1, now 2" in text
    assert "before" in text


def test_web_addresses_in_metadata_can_be_followed_and_nothing_else_can(lead, run):
    result = make_result(
        run,
        metadata={
            "trace": {"type": "url", "value": "https://traces.example.com/1?a=b&c=d"},
            "help": {"type": "url", "url": "https://shop.example/help", "text": "Help <page>"},
            "trap": {"type": "url", "url": "javascript:alert(2)", "text": "Help"},
            "evil": {"type": "url", "value": "javascript:alert(1)"},
            "odd": {"type": "url", "value": "https://"},
            "nested": {"type": "json", "value": {"a": [1]}},
            "flag": {"type": "boolean", "value": True},
            "plain": "http://plain.example.com/",
        },
    )

    text = text_of(lead, result)

    assert 'href="https://traces.example.com/1?a=b&amp;c=d" rel="noopener noreferrer nofollow"' in text
    assert 'href="http://plain.example.com/"' in text
    named = '<a href="https://shop.example/help" title="https://shop.example/help" rel="noopener noreferrer nofollow">'
    assert f"{named}Help &lt;page&gt;" in text
    assert 'href="javascript' not in text
    assert 'href="https://"' not in text
    assert "javascript:alert(1)" in text


def test_usage_cost_and_latency_are_told(lead, run):
    result = make_result(run, usage={"gpt-x": {"input": 1800, "output": 216}}, cost=0.0062, latency_ms=9800)

    text = text_of(lead, result)

    for words in ("2,016", "1,800 in, 216 out", "$0.0062", "9.8 s"):
        assert words in text, words


# --- HTML of the output -----------------------------------------------------------------------------------------------

HOSTILE = """<html><head><base href="//evil.example"><meta http-equiv="refresh" content="0;url=//evil.example">
<link rel="stylesheet" href="//evil.example/x.css"><link rel="preconnect" href="//evil.example"></head>
<body onload="alert(1)"><script>alert(1)</script><img src="//evil.example/x" onerror="alert(1)">
<a href="//evil.example" ping="//evil.example">go</a><form action="//evil.example"><button>send</button></form>
<iframe src="//evil.example"></iframe><svg onload="alert(1)"><use href="//evil.example"></use></svg>
<style>@import url(//evil.example/x.css); p { background: url(//evil.example/y) }</style>
<p style="color: green" hx-get="//evil.example" hx-trigger="load">Report</p>
<object data="//evil.example"></object></body></html>"""


def test_html_is_shown_in_a_sandbox_under_a_policy_of_its_own(lead, run):
    result = make_result(
        run, output={"page": "<h1>Report</h1><p style='color: green'>fine</p>"}, render_html_key="page"
    )

    page = text_of(lead, result)
    response = lead.get(f"/results/{result.pk}/html/")

    assert f'<iframe class="frame__view" sandbox="" src="/results/{result.pk}/html/"' in page
    assert response["Content-Security-Policy"] == (
        "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'self'; base-uri 'none'; "
        "form-action 'none'; sandbox"
    )
    assert response["X-Frame-Options"] == "SAMEORIGIN"
    assert response["Referrer-Policy"] == "no-referrer"
    assert "<h1>Report</h1>" in response.content.decode()
    assert 'style="color: green"' in response.content.decode()


def test_nothing_in_the_frame_can_run_or_lead_away(lead, run):
    result = make_result(run, output={"page": HOSTILE}, render_html_key="page")

    html = lead.get(f"/results/{result.pk}/html/").content.decode().lower()

    for word in (
        "<script",
        "onload",
        "onerror",
        "<img",
        "<iframe",
        "<link",
        "<meta http",
        "<base",
        "<form",
        "<object",
        "<svg",
        "href",
        "ping",
        "hx-",
        "@import",
        "url(",
        "evil",
    ):
        assert word not in html, word
    assert "report" in html


def test_no_frame_without_html(lead, run):
    for fields in ({"render_html_key": "page"}, {"render_html_key": "output", "output": {"output": 7}}, {}):
        result = make_result(run, **fields)

        assert "<iframe" not in text_of(lead, result)
        assert lead.get(f"/results/{result.pk}/html/").status_code == 404


def test_pages_themselves_keep_the_strict_policy(lead, run):
    policy = lead.get(f"/results/{make_result(run).pk}/")["Content-Security-Policy"]

    assert "unsafe-inline" not in policy
    assert "frame-src 'self'" in policy


# --- reviews, comments, activity --------------------------------------------------------------------------------------


def test_the_activity_tells_what_happened_in_order(lead, actor, run):
    ann = make_user(run.organization, name="Ann")
    result = make_result(run)
    review_round = ReviewRound.objects.create(
        organization=run.organization, project=run.project, name="First look", seed=1
    )
    ReviewAssignment.objects.create(
        organization=run.organization, round=review_round, result=result, reviewer=ann, assigned_by=actor.user
    )
    submit_review(result, by=ann, verdict="failed", comment="Nothing was *issued*.")
    Comment.objects.create(
        organization=run.organization, entity_type="result", entity_id=result.pk, author=ann, text="See the trace."
    )

    response = lead.get(f"/results/{result.pk}/")

    assert [one.kind for one in response.context["activity"]] == ["recorded", "assigned", "reviewed", "comment"]
    assert "<em>issued</em>" in response.content.decode()


def test_the_activity_says_who_declined_and_why_and_who_is_no_longer_asked(lead, actor, run):
    ann, ben = make_user(run.organization, name="Ann"), make_user(run.organization, name="Ben")
    result = make_result(run)
    review_round = ReviewRound.objects.create(
        organization=run.organization, project=run.project, name="First look", seed=1
    )
    anns, bens = (
        ReviewAssignment.objects.create(
            organization=run.organization,
            round=review_round,
            result=result,
            slot=slot,
            reviewer=reviewer,
            assigned_by=actor.user,
        )
        for slot, reviewer in enumerate((ann, ben), 1)
    )
    decline(anns, by=ann, reason="I wrote this case.")
    withdraw(bens, by=actor)

    response = lead.get(f"/results/{result.pk}/")

    told = [(one.kind, one.person, one.people, one.text) for one in response.context["activity"]][1:]
    assert told == [
        ("assigned", actor.user, ["Ann", "Ben"], "First look"),
        ("declined", ann, [], "I wrote this case."),
        ("withdrawn", None, ["Ben"], "First look"),
    ]
    text = response.content.decode()
    assert "<b>Ann</b> declined" in text
    assert "I wrote this case." in text
    assert "No longer asked in “First look”: Ben" in text


def test_a_comment_on_a_turn_stands_under_its_turn(lead, actor, run):
    result = make_result(run, conversation=TALK)

    lead.post("/comments/", {"result": result.pk, "text": "Which tool?", "turn": "2"})

    first, second = lead.get(f"/results/{result.pk}/").context["turns"]
    assert (first.comments, [comment.text for comment in second.comments]) == ([], ["Which tool?"])
    assert list(AuditEvent.objects.values_list("action", "entity_id")) == [("comment.created", result.pk)]


def test_a_verdict_on_one_turn_stands_under_its_turn_and_never_for_the_whole(lead, actor, run):
    result = make_result(run, conversation=TALK)

    annotate(result, by=actor, target=Target(turn=2), passed=False, comment="Nothing was issued.", via="api")

    page = lead.get(f"/results/{result.pk}/")
    first, second = page.context["turns"]
    assert (first.verdicts, [(one.passed, one.explanation) for one in second.verdicts]) == (
        [],
        [(False, "Nothing was issued.")],
    )
    told = [(one.kind, one.turn, one.verdict) for one in page.context["activity"]]
    assert told == [("recorded", None, "passed"), ("reviewed", 2, "failed")]
    assert "judged turn 2" in page.content.decode()


def test_the_evaluations_have_a_human_column_only_where_people_judged(lead, actor, run):
    judged = make_result(run, evaluations=[Judgement(evaluator=GRADE, value=0.9)])
    corrected = make_result(run, evaluations=[Judgement(evaluator=GRADE, value=0.9)])
    correction = Correction(evaluator=Evaluator.objects.get(name="Groundedness"), passed=False)
    submit_review(corrected, by=actor, verdict="failed", corrections=[correction])

    columns = ["Human" in text_of(lead, one).split("</thead>")[0] for one in (judged, corrected)]

    assert columns == [False, True]


def test_a_comment_from_the_drawer_brings_the_drawer_anew(lead, run):
    result = make_result(run)

    response = lead.post("/comments/", {"result": result.pk, "text": "Hello"}, headers=DRAWER)

    assert response.content.decode().lstrip().startswith('<div class="drawer__head">')
    assert "Hello" in response.content.decode()


def test_a_comment_without_javascript_leads_back(lead, run):
    result = make_result(run)

    response = lead.post("/comments/", {"result": result.pk, "text": "Hello", "next": "https://evil.example/"})

    assert response["Location"] == f"/results/{result.pk}/"


@pytest.mark.parametrize("text", ["", "   ", "x" * 20_001])
def test_empty_and_endless_comments_are_refused(lead, run, text):
    assert lead.post("/comments/", {"result": make_result(run).pk, "text": text}).status_code == 400
    assert Comment.objects.count() == 0


def test_viewers_cannot_comment(client, actor, run):
    client.force_login(make_user(actor.organization, "viewer"))
    result = make_result(run)

    assert client.post("/comments/", {"result": result.pk, "text": "Hello"}).status_code == 403
    assert "Add a comment" not in text_of(client, result)


def test_ones_own_comment_can_be_deleted_and_brought_back(lead, actor, run):
    result = make_result(run)
    lead.post("/comments/", {"result": result.pk, "text": "Oops"})
    comment = Comment.objects.get()

    lead.post(f"/comments/{comment.pk}/deletion/")
    gone = "Oops" in text_of(lead, result)
    lead.post(f"/comments/{comment.pk}/restoration/")

    assert (gone, "Oops" in text_of(lead, result)) == (False, True)


def test_ones_own_comment_can_be_written_anew(lead, actor, run):
    result = make_result(run)
    lead.post("/comments/", {"result": result.pk, "text": "Oops"})
    comment = Comment.objects.get()
    address = f"/comments/{comment.pk}/edit/"

    form = lead.get(address)
    empty, done = lead.post(address, {"text": "  "}), lead.post(address, {"text": "Nothing was issued."})
    again = lead.post(address, {"text": "Nothing was issued."})

    assert "\nOops</textarea>" in form.text
    assert (empty.status_code, done.status_code, again.status_code) == (422, 302, 302)
    assert done["Location"] == f"/results/{result.pk}/"
    assert "Nothing was issued." in text_of(lead, result) and "· edited" in text_of(lead, result)
    assert list(AuditEvent.objects.values_list("action", flat=True)) == ["comment.created", "comment.changed"]


def test_a_comment_of_somebody_else_cannot_be_deleted_or_changed(lead, run):
    result = make_result(run)
    ann = make_user(run.organization)
    comment = Comment.objects.create(
        organization=run.organization, entity_type="result", entity_id=result.pk, author=ann, text="Mine"
    )

    assert lead.post(f"/comments/{comment.pk}/deletion/").status_code == 404
    assert lead.post(f"/comments/{comment.pk}/edit/", {"text": "Mine"}).status_code == 404


def test_hostile_text_is_text_everywhere(lead, run):
    bad = "<script>alert(1)</script><img src=x onerror=alert(1)>"
    result = make_result(
        run,
        name=bad,
        inputs={"input": bad},
        expected={"expected": bad},
        output={"output": bad},
        conversation=[
            {
                "turn": 1,
                "messages": [
                    {
                        "role": bad,
                        "content": bad,
                        "reasoning": bad,
                        "tool_calls": [{"name": bad, "arguments": {bad: bad}}],
                    }
                ],
            }
        ],
        metadata={bad: bad},
        tags=[bad[:80]],
        steps=[StepRecord(name=bad, provider=bad, inputs={bad: bad})],
        evaluations=[Judgement(evaluator=EvaluatorSpec(name=bad, threshold=1), value=0, explanation=bad)],
        usage={bad: {"input": 1}},
        error_code="x",
        error=bad,
    )

    for show in ("", "raw", "json", "diff"):
        text = text_of(lead, result, show=show)

        assert "<script>alert" not in text, show
        assert "<img" not in text, show


def test_the_number_of_queries_does_not_grow_with_what_there_is(
    lead, actor, run, django_assert_num_queries, django_assert_max_num_queries
):
    small = make_result(run, conversation=TALK, steps=[StepRecord(name="one")])
    large = make_result(
        run,
        conversation=TALK * 3,
        steps=[StepRecord(name=f"{n}") for n in range(9)],
        evaluations=[Judgement(evaluator=EvaluatorSpec(name=f"e{n}", threshold=0.5), value=1) for n in range(5)],
    )
    for n in range(3):
        submit_review(large, by=make_user(run.organization), verdict="passed")
        Comment.objects.create(
            organization=run.organization,
            entity_type="result",
            entity_id=large.pk,
            author=make_user(run.organization),
            text=str(n),
        )

    with django_assert_max_num_queries(16) as captured:
        lead.get(f"/results/{small.pk}/", headers=DRAWER)
    with django_assert_num_queries(len(captured)):
        lead.get(f"/results/{large.pk}/", headers=DRAWER)
