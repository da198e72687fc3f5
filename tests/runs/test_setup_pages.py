"""Pages that make, change, archive and restore what is set up."""

import re
from html import unescape

import pytest
from django.urls import reverse

from evalhub.accounts.rights import Role
from evalhub.audit.models import AuditEvent
from results.records import Judgement
from runs.configurations import evaluators_of
from runs.evaluators import change_evaluator
from runs.models import (
    Case,
    Category,
    ConfigurationEvaluator,
    Endpoint,
    Evaluator,
    Lookup,
    Project,
    Prompt,
    SavedView,
    TestConfiguration,
    TestSet,
    Topic,
)
from tests.factories import (
    make_actor,
    make_case,
    make_configuration,
    make_endpoint,
    make_evaluator,
    make_organization,
    make_project,
    make_result,
    make_run,
    make_test_set,
)
from tests.runs.conftest import signed_in

pytestmark = pytest.mark.django_db

NOUNS = ("project", "test-set", "case", "evaluator", "endpoint", "configuration")

NO_OPTIONS = {"option-TOTAL_FORMS": "0", "option-INITIAL_FORMS": "0"}
EVALUATOR = {
    "name": "Groundedness",
    "who": "ai",
    "value_type": "percentage",
    "direction": "higher",
    "operator": ">=",
    "threshold": "0.8",
    "weight": "1",
    "prompt": "Is it grounded?",
    **NO_OPTIONS,
}
ENDPOINT = {
    "name": "Bot",
    "environment": "staging",
    "connection_type": "REST",
    "method": "POST",
    "url": "https://bot.example.com/chat",
    "response_format": "json",
    "timeout_seconds": "30",
    "max_concurrency": "4",
}
CASE = {"kind": "Single-Turn", "inputs_as": "text", "inputs": "Hello?", "expected_as": "text", "expected": "Hi"}


def make_thing(noun, organization):
    project = make_project(organization)
    makers = {
        "test-set": make_test_set,
        "case": make_case,
        "evaluator": make_evaluator,
        "endpoint": make_endpoint,
        "configuration": make_configuration,
    }
    return makers[noun](project) if noun in makers else project


def values_shown(response):
    """What the form of a page holds, as a browser would send it back."""
    page = response.content.decode()
    page = page[page.index("<main") :]
    values = {}
    for tag in re.findall(r"<input[^>]*>", page):
        attributes = dict(re.findall(r'([\w-]+)="([^"]*)"', tag))
        kind, name = attributes.get("type", "text"), attributes.get("name")
        if name and (kind not in ("radio", "checkbox") or re.search(r"\bchecked\b", tag)):
            values.setdefault(name, []).append(unescape(attributes.get("value", "")))
    for name, text in re.findall(r'<textarea[^>]*name="([^"]+)"[^>]*>(.*?)</textarea>', page, re.DOTALL):
        values[name] = [unescape(text.removeprefix("\n")).replace("\n", "\r\n")]
    for name, options in re.findall(r'<select[^>]*name="([^"]+)"[^>]*>(.*?)</select>', page, re.DOTALL):
        chosen = re.search(r'<option value="([^"]*)" selected', options)
        values[name] = [unescape(chosen.group(1)) if chosen else ""]
    return values


def errors_in(response):
    found = re.findall(r'id="id_([\w-]+)_error">.*?</svg>(.*?)</span>', response.content.decode())
    return {name: unescape(text) for name, text in found}


def last_event():
    event = AuditEvent.objects.order_by("id").last()
    return (event.action, event.data) if event else None


# --- where one is ---


@pytest.mark.parametrize("noun", NOUNS)
def test_the_rail_says_whose_project_a_page_is_about(client, noun):
    actor = make_actor(role=Role.LEAD)
    client.force_login(actor.user)
    thing = make_thing(noun, actor.organization)
    project = thing if noun == "project" else thing.project
    other = make_project(actor.organization)
    client.get(reverse("runs:run-list"), {"project": other.slug})

    pages = [client.get(reverse(f"runs:{noun}-{action}", args=[thing.pk])) for action in ("detail", "edit")]

    names = [re.findall(r'class="brand__name">([^<]+)<', page.content.decode())[0] for page in pages]
    assert names == [project.name, project.name]


# --- who may do what --------------------------------------------------------------------------------------------------


def doors(noun, thing):
    """Every page and action about one thing."""
    names = [("get", "detail"), ("get", "edit"), ("post", "edit"), ("post", "archive"), ("post", "restore")]
    found = [(method, reverse(f"runs:{noun}-{name}", args=[thing.pk])) for method, name in names]
    if noun == "test-set":
        for name in ("case-create", "case-paste"):
            found += [(method, reverse(f"runs:{name}", args=[thing.pk])) for method in ("get", "post")]
        for name in ("test-set-case-remove", "test-set-case-move"):
            found.append(("post", reverse(f"runs:{name}", args=[thing.pk])))
    return found


@pytest.mark.parametrize("noun", NOUNS)
def test_a_stranger_finds_nothing(as_lead, noun):
    theirs = make_thing(noun, make_organization())

    statuses = {(method, url): getattr(as_lead, method)(url).status_code for method, url in doors(noun, theirs)}

    assert set(statuses.values()) == {404}
    theirs.refresh_from_db()
    assert theirs.archived_at is None


@pytest.mark.parametrize("role", [Role.VIEWER, Role.REVIEWER])
@pytest.mark.parametrize("noun", NOUNS)
def test_who_only_reads_changes_nothing(lead, noun, role):
    thing = make_thing(noun, lead.organization)
    reader = signed_in(make_actor(lead.organization, role))

    (_, detail), *rest = doors(noun, thing)

    assert reader.get(detail).status_code == 200
    assert {getattr(reader, method)(url).status_code for method, url in rest} == {403}
    thing.refresh_from_db()
    assert (thing.archived_at, AuditEvent.objects.filter(entity_id=thing.pk).count()) == (None, 0)


@pytest.mark.parametrize("noun", [noun for noun in NOUNS if noun != "case"])
def test_who_only_reads_makes_nothing(lead, noun):
    reader = signed_in(make_actor(lead.organization, Role.VIEWER))
    url = reverse(f"runs:{noun}-create")

    assert (reader.get(url).status_code, reader.post(url).status_code) == (403, 403)


@pytest.mark.parametrize("noun", NOUNS)
def test_a_deleted_thing_is_gone(as_lead, lead, noun):
    thing = make_thing(noun, lead.organization)
    thing.mark_deleted()

    assert as_lead.get(reverse(f"runs:{noun}-detail", args=[thing.pk])).status_code == 404


@pytest.mark.parametrize("key", ["nope", "%00", "a%2Fb", "01a2", "+1", "١"])
def test_no_odd_id_breaks_a_page(as_lead, key):
    assert {as_lead.get(f"/{noun}/{key}/").status_code for noun in ("projects", "cases", "runs", "results")} == {404}


def test_a_thing_is_found_by_the_senders_own_id(as_lead, lead):
    mine = make_endpoint(make_project(lead.organization), external_id="endpoint-123", name="Mine")
    make_endpoint(make_project(), external_id="endpoint-123", name="Theirs")

    page = as_lead.get("/endpoints/endpoint-123/")

    assert (page.status_code, str(mine.pk) in page.content.decode()) == (200, True)


# --- archive and restore ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("noun", NOUNS)
def test_a_thing_goes_into_the_archive_and_comes_back(as_lead, lead, noun):
    thing = make_thing(noun, lead.organization)
    archive, restore, detail = (
        reverse(f"runs:{noun}-{name}", args=[thing.pk]) for name in ("archive", "restore", "detail")
    )

    archived = as_lead.post(archive, follow=True)
    thing.refresh_from_db()
    was_archived = thing.archived_at is not None
    banner = "It is out of the lists" in as_lead.get(detail).content.decode()
    as_lead.post(restore)
    thing.refresh_from_db()

    assert (archived.status_code, was_archived, banner, thing.archived_at) == (200, True, True, None)
    assert restore in archived.content.decode()  # the toast's way back
    assert last_event()[0].endswith(".restored")


def test_the_default_project_stays(as_lead, lead):
    project = Project.default_of(lead.organization)

    response = as_lead.post(reverse("runs:project-archive", args=[project.pk]))

    assert response.status_code == 400
    assert "cannot be archived" in response.content.decode()


def test_reading_archives_nothing(as_lead, lead):
    thing = make_thing("endpoint", lead.organization)

    assert as_lead.get(reverse("runs:endpoint-archive", args=[thing.pk])).status_code == 405


# --- what every form promises -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("noun", NOUNS)
def test_saving_a_form_as_it_was_shown_changes_nothing(as_lead, lead, noun):
    thing = make_thing(noun, lead.organization)
    if noun == "evaluator":
        thing.definition = {"heuristic": "regex", "settings": {"pattern": "a\nb", "flags": ["s"]}, "came_with": [1]}
        thing.owner = lead.user
        thing.save()
    url = reverse(f"runs:{noun}-edit", args=[thing.pk])

    response = as_lead.post(url, values_shown(as_lead.get(url)))

    assert (response.status_code, last_event()) == (302, None)


@pytest.mark.parametrize("noun", ["project", "test-set", "evaluator", "endpoint", "configuration"])
def test_an_empty_form_says_what_is_missing(as_lead, lead, noun):
    project = make_project(lead.organization)
    model = {
        "project": Project,
        "test-set": TestSet,
        "evaluator": Evaluator,
        "endpoint": Endpoint,
        "configuration": TestConfiguration,
    }[noun]
    before = model.objects.count()

    response = as_lead.post(f"{reverse(f'runs:{noun}-create')}?project={project.slug}", {})

    assert (response.status_code, model.objects.count()) == (422, before)
    assert errors_in(response)["name"] == "Enter the name."


@pytest.mark.parametrize("noun", ["project", "test-set", "evaluator", "endpoint", "configuration"])
@pytest.mark.parametrize("name", ["x" * 5000, "a\0b", "   "])
def test_a_name_that_cannot_be_kept_is_refused(as_lead, lead, noun, name):
    thing = make_thing(noun, lead.organization)
    url = reverse(f"runs:{noun}-edit", args=[thing.pk])

    response = as_lead.post(url, {**values_shown(as_lead.get(url)), "name": name})

    assert (response.status_code, "name" in errors_in(response)) == (422, True)


@pytest.mark.parametrize("noun", ["project", "test-set", "evaluator", "endpoint", "configuration"])
def test_an_owner_from_elsewhere_is_refused(as_lead, lead, noun):
    thing = make_thing(noun, lead.organization)
    stranger = make_actor().user
    url = reverse(f"runs:{noun}-edit", args=[thing.pk])

    response = as_lead.post(url, {**values_shown(as_lead.get(url)), "owner": stranger.pk})

    assert (response.status_code, "owner" in errors_in(response)) == (422, True)
    assert str(stranger) not in response.content.decode()


@pytest.mark.parametrize("noun", NOUNS)
def test_nobody_overwrites_what_they_have_not_seen(as_lead, lead, noun):
    thing = make_thing(noun, lead.organization)
    url = reverse(f"runs:{noun}-edit", args=[thing.pk])
    mine, theirs = (values_shown(as_lead.get(url)) for _ in range(2))
    colleague = make_actor(lead.organization, name="Hana Sato")
    signed_in(colleague).post(url, {**theirs, "name": "Hers"})

    refused = as_lead.post(url, {**mine, "name": "Mine"})
    thing.refresh_from_db()
    name_then = thing.name
    again = as_lead.post(url, {**values_shown(refused), "name": "Mine"})
    thing.refresh_from_db()

    assert (refused.status_code, name_then) == (422, "Hers")
    assert "Hana Sato changed this while you had it open" in refused.content.decode()
    assert (again.status_code, thing.name) == (302, "Mine")


@pytest.mark.parametrize("noun", ["test-set", "evaluator", "endpoint"])
def test_nothing_is_made_in_a_project_of_strangers(as_lead, noun):
    theirs = make_project()
    values = {"test-set": {"name": "Set", "kind": "Single-Turn"}, "evaluator": EVALUATOR, "endpoint": ENDPOINT}[noun]

    response = as_lead.post(reverse(f"runs:{noun}-create"), {**values, "project": theirs.pk})

    assert (response.status_code, list(errors_in(response))) == (422, ["project"])
    assert TestSet.objects.count() + Evaluator.objects.count() + Endpoint.objects.count() == 0


# --- projects ---------------------------------------------------------------------------------------------------------


def test_a_project_is_made_and_becomes_the_current_one(as_lead, lead):
    response = as_lead.post(
        reverse("runs:project-create"), {"name": "Support bot", "labels": "eu, support, eu", "branch": "main"}
    )

    project = Project.objects.get()
    assert (project.name, project.slug, project.labels, project.branch, project.owner) == (
        "Support bot",
        "support-bot",
        ["eu", "support"],
        "main",
        None,
    )
    assert response.url == f"/projects/{project.pk}/?project=support-bot"
    assert last_event() == ("project.created", {})


def test_a_new_form_suggests_its_maker_as_owner(as_lead, lead):
    assert values_shown(as_lead.get(reverse("runs:project-create")))["owner"] == [str(lead.user.pk)]


def test_a_project_is_renamed_and_keeps_its_slug(as_lead, lead):
    project = make_project(lead.organization, slug="bot")
    url = reverse("runs:project-edit", args=[project.pk])

    as_lead.post(url, {**values_shown(as_lead.get(url)), "name": "Better bot"})

    project.refresh_from_db()
    assert (project.name, project.slug) == ("Better bot", "bot")
    assert last_event() == ("project.changed", {"changed": ["name"]})


# --- test sets and their cases ----------------------------------------------------------------------------------------


def test_a_test_set_is_made_in_a_project(as_lead, lead):
    project = make_project(lead.organization)

    as_lead.post(
        reverse("runs:test-set-create"),
        {"name": "Regression", "project": project.pk, "kind": "Multi-Turn", "tags": "nightly"},
    )

    test_set = TestSet.objects.get()
    assert (test_set.name, test_set.slug, test_set.project, test_set.kind, test_set.tags) == (
        "Regression",
        "regression",
        project,
        "Multi-Turn",
        ["nightly"],
    )


def test_a_text_case_is_added(as_lead, lead):
    test_set = make_test_set(make_project(lead.organization))

    response = as_lead.post(
        reverse("runs:case-create", args=[test_set.pk]), {**CASE, "tags": "refunds", "topic": "Returns"}
    )

    case = Case.objects.get()
    assert (case.inputs, case.expected, case.tags, case.topic.name, case.number) == (
        {"input": "Hello?"},
        {"output": "Hi"},
        ["refunds"],
        "Returns",
        1,
    )
    assert (response.status_code, list(test_set.cases.all())) == (302, [case])


def test_a_case_without_an_expectation_expects_nothing(as_lead, lead):
    test_set = make_test_set(make_project(lead.organization))

    as_lead.post(reverse("runs:case-create", args=[test_set.pk]), {**CASE, "expected": ""})

    assert Case.objects.get().expected is None


def test_a_text_that_looks_like_json_stays_text(as_lead, lead):
    test_set = make_test_set(make_project(lead.organization))

    as_lead.post(reverse("runs:case-create", args=[test_set.pk]), {**CASE, "inputs": '{"a": 1}'})

    assert Case.objects.get().inputs == {"input": '{"a": 1}'}


def test_a_json_case_is_added(as_lead, lead):
    test_set = make_test_set(make_project(lead.organization))

    as_lead.post(
        reverse("runs:case-create", args=[test_set.pk]),
        {**CASE, "inputs_as": "json", "inputs": '{"question": "Why?", "n": [1, 2.5, null]}'},
    )

    assert Case.objects.get().inputs == {"question": "Why?", "n": [1, 2.5, None]}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("{", "This is not JSON"),
        ("[1]", "This has to be a JSON object"),
        ('{"a": NaN}', "NaN is not a JSON number"),
        ('{"a": 1e400}', "too large"),
        ('{"a": 1, "a": 2}', "appears twice"),
        ('{"a": "\\u0000"}', "NUL"),
        ('{"a": "\\ud800"}', "half a character"),
        ('{"a": ' + "[" * 70 + "]" * 70 + "}", "nested"),
        ("{}", "Say what is asked"),
        ("", "Say what is asked."),
    ],
)
def test_json_that_cannot_be_kept_is_refused_under_its_field(as_lead, lead, text, problem):
    test_set = make_test_set(make_project(lead.organization))

    response = as_lead.post(
        reverse("runs:case-create", args=[test_set.pk]), {**CASE, "inputs_as": "json", "inputs": text}
    )

    assert (response.status_code, list(errors_in(response)), Case.objects.count()) == (422, ["inputs"], 0)
    assert problem in errors_in(response)["inputs"]


def test_a_conversation_may_have_a_plan_instead_of_an_input(as_lead, lead):
    test_set = make_test_set(make_project(lead.organization))
    url = reverse("runs:case-create", args=[test_set.pk])
    values = {**CASE, "kind": "Multi-Turn", "inputs": ""}

    refused = as_lead.post(url, values)
    as_lead.post(url, {**values, "goal": "Get the money back", "max_turns": "6"})

    assert refused.status_code == 422
    case = Case.objects.get()
    assert (case.inputs, case.plan) == ({}, {"goal": "Get the money back", "max_turns": 6})


def test_a_conversation_keeps_what_its_plan_says_besides(as_lead, lead):
    case = make_case(make_project(lead.organization), kind="Multi-Turn", plan={"goal": "A", "persona": "angry"})
    url = reverse("runs:case-edit", args=[case.pk])

    as_lead.post(url, {**values_shown(as_lead.get(url)), "goal": "B"})

    case.refresh_from_db()
    assert case.plan == {"goal": "B", "persona": "angry"}


def test_a_used_case_becomes_a_new_revision_and_shows_its_history(as_lead, lead):
    run = make_run(make_project(lead.organization))
    case = make_case(run.project, inputs={"input": "May I return it after 30 days?"})
    make_result(run, case=case.pk)
    url = reverse("runs:case-edit", args=[case.pk])

    as_lead.post(url, {**values_shown(as_lead.get(url)), "inputs": "May I return it after 60 days?"})

    case.refresh_from_db()
    page = as_lead.get(reverse("runs:case-detail", args=[case.pk])).content.decode()
    assert case.revision == 2
    assert "<del>30</del><ins>60</ins>" in page


def test_lines_are_pasted_as_cases(as_lead, lead):
    test_set = make_test_set(make_project(lead.organization), cases=1)

    response = as_lead.post(
        reverse("runs:case-paste", args=[test_set.pk]), {"form": "lines", "text": "One?\r\n\r\n  Two?  \r\n"}
    )

    asked = [case.inputs for case in test_set.cases.order_by("memberships__position")][1:]
    assert (response.status_code, asked) == (302, [{"input": "One?"}, {"input": "Two?"}])


def test_json_lines_are_pasted_as_cases(as_lead, lead):
    test_set = make_test_set(make_project(lead.organization))
    text = (
        '{"input": "A", "expected": "B", "name": "First", "id": "a", "tags": ["x"], "source": "mail"}\n'
        '{"question": {"q": 1}, "answer": {"k": [true]}}\n'
        '"Just a text"\n'
    )

    as_lead.post(reverse("runs:case-paste", args=[test_set.pk]), {"form": "jsonl", "text": text})

    found = Case.objects.order_by("number").values_list(
        "name", "external_id", "inputs", "expected", "tags", "attributes"
    )
    assert list(found) == [
        ("First", "a", {"input": "A"}, {"output": "B"}, ["x"], {"source": "mail"}),
        ("", None, {"q": 1}, {"k": [True]}, [], {}),
        ("", None, {"input": "Just a text"}, None, [], {}),
    ]


def test_looking_at_pasted_cases_adds_none(as_lead, lead):
    test_set = make_test_set(make_project(lead.organization))

    response = as_lead.post(
        reverse("runs:case-paste", args=[test_set.pk]), {"form": "lines", "text": "One?\nTwo?", "preview": "1"}
    )

    assert (response.status_code, Case.objects.count()) == (200, 0)
    assert "Add 2 cases" in response.content.decode()


def test_one_wrong_line_adds_nothing_and_is_named(as_lead, lead):
    test_set = make_test_set(make_project(lead.organization))
    lines = ['{"input": "A"}', '{"output": "B"}', "[1]", '{"input": "C", "id": "a"}', '{"input": "D", "id": "a"}']
    text = "\n".join([*lines, '{"input": "\\u0000"}'])

    response = as_lead.post(reverse("runs:case-paste", args=[test_set.pk]), {"form": "jsonl", "text": text})

    named = re.findall(r"<b>Line (\d+)</b>", response.content.decode())
    assert (response.status_code, named, Case.objects.count()) == (422, ["2", "3", "5", "6"], 0)
    assert errors_in(response)["text"] == "4 lines have a mistake. Nothing was added."


def test_a_pasted_id_of_another_project_adds_nothing(as_lead, lead):
    make_case(make_project(lead.organization), external_id="a")
    test_set = make_test_set(make_project(lead.organization))

    response = as_lead.post(
        reverse("runs:case-paste", args=[test_set.pk]), {"form": "jsonl", "text": '{"input": "A", "id": "a"}'}
    )

    assert (response.status_code, test_set.cases.count()) == (422, 0)
    assert "another project" in errors_in(response)["text"]


def test_cases_are_taken_out_of_a_set(as_lead, lead):
    test_set = make_test_set(make_project(lead.organization), cases=3)
    first, second, third = test_set.cases.order_by("number")

    as_lead.post(reverse("runs:test-set-case-remove", args=[test_set.pk]), {"case": [first.pk, third.pk]})

    assert (list(test_set.cases.all()), Case.objects.count()) == ([second], 3)


def test_all_cases_that_a_search_finds_are_taken_out(as_lead, lead):
    project = make_project(lead.organization)
    test_set = make_test_set(project)
    for name in ("Refund A", "Refund B", "Parcel"):
        make_case(project, test_set, name=name)

    as_lead.post(f"{reverse('runs:test-set-case-remove', args=[test_set.pk])}?q=refund", {"select": "all"})

    assert [case.name for case in test_set.cases.all()] == ["Parcel"]


@pytest.mark.parametrize("name", ["test-set-case-remove", "test-set-case-move"])
def test_a_case_from_elsewhere_in_a_selection_changes_nothing(as_lead, lead, name):
    test_set = make_test_set(make_project(lead.organization), cases=2)
    theirs = make_case(make_project())
    first = test_set.cases.order_by("number").first()

    response = as_lead.post(reverse(f"runs:{name}", args=[test_set.pk]), {"case": [first.pk, theirs.pk], "to": "2"})

    assert (response.status_code, test_set.cases.count(), last_event()) == (400, 2, None)


@pytest.mark.parametrize("values", [{}, {"case": "nonsense"}, {"case": "\0"}])
def test_a_selection_of_nothing_is_refused(as_lead, lead, values):
    test_set = make_test_set(make_project(lead.organization), cases=2)

    response = as_lead.post(reverse("runs:test-set-case-remove", args=[test_set.pk]), values)

    assert (response.status_code, test_set.cases.count()) == (400, 2)


@pytest.mark.parametrize(("values", "order"), [({"to": "1"}, [3, 1, 2]), ({"place": "2"}, [1, 3, 2])])
def test_cases_are_put_in_order(as_lead, lead, values, order):
    test_set = make_test_set(make_project(lead.organization), cases=3)
    last = test_set.cases.get(number=3)

    as_lead.post(reverse("runs:test-set-case-move", args=[test_set.pk]), {"case": last.pk, **values})

    assert [case.number for case in test_set.cases.order_by("memberships__position")] == order


@pytest.mark.parametrize("place", ["", "x", "-1", "1.5", "٣", "9" * 30])
def test_a_place_is_a_whole_number(as_lead, lead, place):
    test_set = make_test_set(make_project(lead.organization), cases=2)
    case = test_set.cases.first()

    response = as_lead.post(reverse("runs:test-set-case-move", args=[test_set.pk]), {"case": case.pk, "place": place})

    assert response.status_code == 400


def test_cases_join_a_set_of_their_project(as_lead, lead):
    project = make_project(lead.organization)
    test_set = make_test_set(project)
    cases = [make_case(project) for _ in range(2)]

    as_lead.post(reverse("runs:case-join"), {"case": [case.pk for case in cases], "test_set": test_set.pk})

    assert list(test_set.cases.order_by("number")) == cases


def test_cases_join_no_set_of_another_project_or_organisation(as_lead, lead):
    case = make_case(make_project(lead.organization))
    sets = [make_test_set(make_project(lead.organization)), make_test_set(make_project())]

    statuses = [
        as_lead.post(reverse("runs:case-join"), {"case": case.pk, "test_set": test_set.pk}).status_code
        for test_set in sets
    ]

    assert (statuses, [test_set.cases.count() for test_set in sets]) == ([400, 400], [0, 0])


# --- evaluators -------------------------------------------------------------------------------------------------------


def test_an_ai_judge_is_made(as_lead, lead):
    project = make_project(lead.organization)

    as_lead.post(reverse("runs:evaluator-create"), {**EVALUATOR, "project": project.pk, "model": "judge-1"})

    made = Evaluator.objects.get()
    assert (made.name, made.project, made.who, made.threshold, made.definition, made.version) == (
        "Groundedness",
        project,
        "ai",
        0.8,
        {"model": "judge-1", "prompt": "Is it grounded?"},
        1,
    )


def test_without_a_project_it_is_a_template(as_lead, lead):
    as_lead.post(reverse("runs:evaluator-create"), EVALUATOR)

    assert Evaluator.objects.get().project is None


def test_a_template_is_copied_into_a_project(as_lead, lead):
    template = make_evaluator(
        make_project(lead.organization), name="Politeness", who="human", definition={"question": "Polite?"}
    )
    Evaluator.objects.filter(pk=template.pk).update(project=None)
    project = make_project(lead.organization)
    url = f"{reverse('runs:evaluator-create')}?from={template.pk}&project={project.slug}"

    as_lead.post(url, values_shown(as_lead.get(url)))

    copy = Evaluator.objects.get(project=project)
    assert (copy.name, copy.who, copy.definition, copy.owner) == (
        "Politeness",
        "human",
        {"question": "Polite?"},
        lead.user,
    )


def test_nothing_of_strangers_is_copied(as_lead):
    theirs = make_evaluator(make_project())

    assert as_lead.get(reverse("runs:evaluator-create"), {"from": theirs.pk}).status_code == 404


OPTIONS = {
    "option-TOTAL_FORMS": "4",
    "option-INITIAL_FORMS": "0",
    "option-0-label": "Good",
    "option-0-value": "1",
    "option-0-passes": "yes",
    "option-1-label": "Bad",
    "option-1-value": "0",
    "option-1-passes": "no",
    "option-2-label": "",
    "option-3-label": "Other",
}


def test_a_label_has_options_in_their_order(as_lead, lead):
    as_lead.post(reverse("runs:evaluator-create"), {**EVALUATOR, "value_type": "label", **OPTIONS})

    made = Evaluator.objects.get()
    assert made.options == [
        {"label": "Good", "value": 1.0, "passes": True},
        {"label": "Bad", "value": 0.0, "passes": False},
        {"label": "Other", "value": None, "passes": None},
    ]
    assert (made.verdict(None, "good"), made.verdict(None, "Bad"), made.verdict(None, "Other")) == (True, False, None)


def test_more_rows_for_options_save_nothing_and_keep_what_was_typed(as_lead, lead):
    response = as_lead.post(
        reverse("runs:evaluator-create"), {**EVALUATOR, "name": "", "value_type": "label", **OPTIONS, "more": "1"}
    )

    shown = values_shown(response)
    assert (response.status_code, errors_in(response), Evaluator.objects.count()) == (200, {}, 0)
    assert [shown[f"option-{n}-label"] for n in range(5)] == [["Good"], ["Bad"], ["Other"], [""], [""]]
    assert (shown["prompt"], shown["option-TOTAL_FORMS"]) == (["Is it grounded?"], ["5"])


@pytest.mark.parametrize(
    ("changes", "wrong"),
    [
        ({"option-1-label": "GOOD"}, "option-1-label"),
        ({"option-1-value": "2"}, "option-1-value"),
        ({"option-1-value": "nan"}, "option-1-value"),
        ({"option-1-label": ""}, "option-1-label"),
        ({"option-1-passes": "perhaps"}, "option-1-passes"),
    ],
)
def test_a_wrong_option_is_refused_in_its_row(as_lead, lead, changes, wrong):
    response = as_lead.post(
        reverse("runs:evaluator-create"), {**EVALUATOR, "value_type": "label", **OPTIONS, **changes}
    )

    assert (response.status_code, Evaluator.objects.count()) == (422, 0)
    assert list(errors_in(response)) == ["value_type", wrong]


def test_a_label_needs_something_to_choose_from(as_lead, lead):
    response = as_lead.post(reverse("runs:evaluator-create"), {**EVALUATOR, "value_type": "label"})

    assert (response.status_code, list(errors_in(response))) == (422, ["value_type"])


@pytest.mark.parametrize(
    "data", [{"option-TOTAL_FORMS": "9999999"}, {"option-TOTAL_FORMS": "x"}, {"option-TOTAL_FORMS": ""}]
)
def test_a_form_that_was_tampered_with_is_refused(as_lead, lead, data):
    response = as_lead.post(reverse("runs:evaluator-create"), {**EVALUATOR, "value_type": "label", **OPTIONS, **data})

    assert (response.status_code, Evaluator.objects.count()) == (422, 0)


@pytest.mark.parametrize(
    ("changes", "wrong"),
    [
        ({"threshold": "1.4"}, {"threshold": "Enter a number from 0 to 1."}),
        ({"threshold": "nan"}, {"threshold": "Enter a number."}),
        ({"threshold": "1_0"}, {"threshold": "Enter a number."}),
        ({"weight": "-1"}, {"weight": "Enter a number from 0 to 1,000."}),
        ({"weight": "inf"}, {"weight": "Enter a number from 0 to 1,000."}),
        ({"prompt": " "}, {"prompt": "Enter the prompt."}),
        ({"who": "human"}, {"question": "Enter the question."}),
        ({"who": "heuristic"}, {"heuristic": "Enter the check."}),
        (
            {"who": "heuristic", "heuristic": "regex", "settings": "[1]"},
            {"settings": "This has to be a JSON object: { … }."},
        ),
        (
            {"value_type": "number", "min_score": "5", "max_score": "1", "threshold": "3"},
            {"max_score": "This is not more than the least possible score."},
        ),
        (
            {"value_type": "number", "min_score": "1", "max_score": "5", "threshold": "9"},
            {"threshold": "No possible score is on the other side of it."},
        ),
        ({"who": "oracle"}, {"who": "Select a valid choice. oracle is not one of the available choices."}),
    ],
)
def test_a_wrong_evaluator_is_refused(as_lead, lead, changes, wrong):
    response = as_lead.post(reverse("runs:evaluator-create"), {**EVALUATOR, **changes})

    assert (response.status_code, errors_in(response), Evaluator.objects.count()) == (422, wrong, 0)


def test_a_name_is_given_once_in_a_project(as_lead, lead):
    here, there = make_project(lead.organization, name="Here"), make_project(lead.organization)
    make_evaluator(here, name="Groundedness")
    url = reverse("runs:evaluator-create")

    again = as_lead.post(url, {**EVALUATOR, "project": here.pk})
    elsewhere = as_lead.post(url, {**EVALUATOR, "project": there.pk})

    assert errors_in(again) == {"name": "There already is an evaluator of this name in “Here”."}
    assert elsewhere.status_code == 302


def test_a_used_evaluator_becomes_a_new_version_and_shows_what_changed(as_lead, lead):
    result = make_result(make_run(make_project(lead.organization)))
    evaluator = result.evaluations.get().evaluator
    Evaluator.objects.filter(pk=evaluator.pk).update(
        who="ai", origin="own", threshold=0.5, definition={"prompt": "Is it good?", "came_with": "an import"}
    )
    url = reverse("runs:evaluator-edit", args=[evaluator.pk])

    as_lead.post(url, {**values_shown(as_lead.get(url)), "prompt": "Is it very good?", "threshold": "0.9"})

    evaluator.refresh_from_db()
    page = as_lead.get(reverse("runs:evaluator-detail", args=[evaluator.pk])).content.decode()
    assert (evaluator.version, evaluator.threshold) == (2, 0.9)
    assert evaluator.definition == {"prompt": "Is it very good?", "came_with": "an import"}
    assert re.search(r"<dt>Threshold</dt><dd>.*<del>50</del><ins>90</ins>", page)
    assert "<ins>very </ins>good?" in page


def test_an_older_version_opens_on_request(as_lead, lead):
    evaluator = make_result(make_run(make_project(lead.organization))).evaluations.get().evaluator
    for threshold in (0.25, 0.75):
        change_evaluator(evaluator, by=lead, threshold=threshold)
        run = make_run(evaluator.project)
        make_result(run, evaluations=[Judgement(evaluator=evaluator, value=1)])
    url = reverse("runs:evaluator-detail", args=[evaluator.pk])

    newest, older = (as_lead.get(url, query).content.decode() for query in ({}, {"version": "2"}))

    assert ("<ins>75</ins>" in newest, "<ins>25</ins>" in newest) == (True, False)
    assert re.search(r"<dt>Threshold</dt><dd>.*<ins>0.25</ins>", older)


def test_a_configuration_says_which_cases_of_its_set_it_asks(as_lead, lead):
    words = {
        "category": Category.objects.create(organization=lead.organization, name="Safety"),
        "topic": Topic.objects.create(organization=lead.organization, name="Cards"),
        "prompt": Prompt.objects.create(organization=lead.organization, content="Charge it again?"),
    }
    own = Lookup.objects.create(organization=lead.organization, family="status:TestConfiguration", name="In trial")
    configuration = make_configuration(make_project(lead.organization), **words, status=str(own.pk))

    page = as_lead.get(reverse("runs:configuration-detail", args=[configuration.pk])).text

    said = dict(re.findall(r"<dt>(Asks only [a-z]+|Status)</dt><dd>(.*?)</dd>", page))
    assert said == {
        "Asks only category": "Safety",
        "Asks only topic": "Cards",
        "Asks only prompt": "Charge it again?",
        "Status": "In trial",
    }


def test_people_do_not_take_over_from_a_machine_that_has_judged(as_lead, lead):
    make_result(make_run(make_project(lead.organization)))
    evaluator = Evaluator.objects.get()
    url = reverse("runs:evaluator-edit", args=[evaluator.pk])

    answer = as_lead.post(url, {**values_shown(as_lead.get(url)), "who": "human", "question": "Good?"})

    assert (answer.status_code, "Make a new evaluator" in answer.text) == (422, True)
    evaluator.refresh_from_db()
    assert evaluator.who != "human"


def test_who_judges_decides_what_is_kept_of_how(as_lead, lead):
    evaluator = make_evaluator(
        make_project(lead.organization), who="ai", definition={"prompt": "Good?", "model": "judge-1", "seen": 1}
    )
    url = reverse("runs:evaluator-edit", args=[evaluator.pk])

    as_lead.post(url, {**values_shown(as_lead.get(url)), "who": "human", "question": "Good?"})

    evaluator.refresh_from_db()
    assert evaluator.definition == {"question": "Good?", "seen": 1}


# --- endpoints --------------------------------------------------------------------------------------------------------


def test_an_endpoint_is_made_and_its_secret_never_shown(as_lead, lead):
    project = make_project(lead.organization)

    as_lead.post(
        reverse("runs:endpoint-create"),
        {
            **ENDPOINT,
            "project": project.pk,
            "request_headers": '{"Accept": "application/json", "Authorization": "Bearer {{ auth_token }}"}',
            "request_mapping": '{"message": "{{ input }}"}',
            "response_mapping": '{"output": "$.answer"}',
            "auth_type": "bearer_token",
            "auth_token": "s3cret-t0ken",
        },
    )

    made = Endpoint.objects.get()
    assert (made.secrets, made.url, made.response_mapping) == (
        {"auth_token": "s3cret-t0ken"},
        "https://bot.example.com/chat",
        {"output": "$.answer"},
    )
    for name in ("detail", "edit", "list"):
        page = as_lead.get(reverse(f"runs:endpoint-{name}", args=[made.pk] if name != "list" else []))
        assert "s3cret-t0ken" not in page.content.decode()
    assert "s3cret" not in str(list(AuditEvent.objects.values()))


def test_a_refused_form_does_not_send_the_secret_back(as_lead, lead):
    response = as_lead.post(reverse("runs:endpoint-create"), {**ENDPOINT, "name": "", "auth_token": "s3cret-t0ken"})

    assert response.status_code == 422
    assert "s3cret" not in response.content.decode()


def secret_endpoint(organization):
    endpoint = make_endpoint(make_project(organization), auth_type="bearer_token")
    endpoint.keep_secrets(auth_token="s3cret-t0ken")
    endpoint.save()
    return endpoint


@pytest.mark.parametrize(
    ("changes", "kept"),
    [
        ({"name": "Other name"}, "s3cret-t0ken"),
        ({"url": "https://bot.example.com/v2"}, "s3cret-t0ken"),
        ({"auth_token": "n3w"}, "n3w"),
        ({"forget": "on"}, None),
        ({"forget": "on", "auth_token": "n3w"}, "n3w"),
        ({"url": "https://bot.example.com.evil.net/chat"}, None),
        ({"url": "http://bot.example.com/chat"}, None),
        ({"url": "https://bot.example.com:8443/chat"}, None),
        ({"url": "https://evil.net/chat", "auth_token": "n3w"}, "n3w"),
    ],
)
def test_a_secret_stays_with_its_address(as_lead, lead, changes, kept):
    endpoint = secret_endpoint(lead.organization)
    url = reverse("runs:endpoint-edit", args=[endpoint.pk])

    response = as_lead.post(url, {**values_shown(as_lead.get(url)), **changes}, follow=True)

    endpoint.refresh_from_db()
    assert (response.status_code, endpoint.secrets.get("auth_token")) == (200, kept)
    moved = kept is None and "url" in changes
    assert ("the stored secret was forgotten" in response.content.decode()) is moved


@pytest.mark.parametrize(
    ("changes", "wrong"),
    [
        ({"url": ""}, "url"),
        ({"url": "ftp://bot.example.com"}, "url"),
        ({"url": "file:///etc/passwd"}, "url"),
        ({"url": "javascript:alert(1)"}, "url"),
        ({"url": "https://user:pw@bot.example.com"}, "url"),
        ({"url": "https://bot.example.com/#a"}, "url"),
        ({"url": "https://bot.example.com\\@evil.net"}, "url"),
        ({"url": "https://bot.example.com/a b"}, "url"),
        ({"url": "https://bot.example.com:99999"}, "url"),
        ({"url": "https://[::1"}, "url"),
        ({"url": "https://a..example.com"}, "url"),
        ({"url": "ws://bot.example.com"}, "url"),
        ({"connection_type": "WebSocket"}, "url"),
        ({"endpoint_path": "@evil.net"}, "endpoint_path"),
        ({"endpoint_path": "//evil.net"}, "endpoint_path"),
        ({"request_headers": '{"Authorization": "Bearer abc"}'}, "request_headers"),
        ({"request_headers": '{"X-Api-Key": "abc"}'}, "request_headers"),
        ({"request_headers": '{"Host": "evil.net"}'}, "request_headers"),
        ({"request_headers": '{"X": "a\\r\\nY: b"}'}, "request_headers"),
        ({"request_headers": '{"X Y": "a"}'}, "request_headers"),
        ({"request_headers": '{"X": 1}'}, "request_headers"),
        ({"request_headers": '["X"]'}, "request_headers"),
        ({"query_params": '{"a": [1]}'}, "query_params"),
        ({"request_mapping": "{"}, "request_mapping"),
        ({"response_mapping": '{"text": "$.a"}'}, "response_mapping"),
        ({"response_mapping": '{"output": ""}'}, "response_mapping"),
        ({"auth_type": "client_credentials", "client_id": "me"}, "token_url"),
        ({"token_url": "ftp://tokens.example.com"}, "token_url"),
        ({"timeout_seconds": "0"}, "timeout_seconds"),
        ({"max_concurrency": "1000"}, "max_concurrency"),
        ({"method": "TRACE"}, "method"),
    ],
)
def test_a_wrong_endpoint_is_refused_under_its_field(as_lead, lead, changes, wrong):
    project = make_project(lead.organization)

    response = as_lead.post(reverse("runs:endpoint-create"), {**ENDPOINT, "project": project.pk, **changes})

    assert (response.status_code, list(errors_in(response)), Endpoint.objects.count()) == (422, [wrong], 0)


def test_an_endpoint_of_the_sdk_needs_no_address(as_lead, lead):
    project = make_project(lead.organization)

    as_lead.post(
        reverse("runs:endpoint-create"), {**ENDPOINT, "project": project.pk, "connection_type": "SDK", "url": ""}
    )

    assert Endpoint.objects.get().url == ""


def test_a_credential_among_the_headers_is_covered(as_lead, lead):
    endpoint = make_endpoint(make_project(lead.organization), request_headers={"Authorization": "Bearer abc", "X": "y"})

    page = as_lead.get(reverse("runs:endpoint-detail", args=[endpoint.pk])).content.decode()

    assert ("Bearer abc" in page, "••••••••" in page, ">y<" in page) == (False, True, True)


# --- configurations ---------------------------------------------------------------------------------------------------


def test_a_configuration_asks_for_its_project_first(as_lead, lead):
    project = make_project(lead.organization, name="Support bot")

    page = as_lead.get(reverse("runs:configuration-create")).content.decode()

    assert f'<option value="{project.slug}">Support bot</option>' in page


def test_a_configuration_is_made(as_lead, lead):
    project = make_project(lead.organization)
    first, second, unused = (make_evaluator(project) for _ in range(3))
    test_set, endpoint = make_test_set(project), make_endpoint(project)

    as_lead.post(
        f"{reverse('runs:configuration-create')}?project={project.slug}",
        {
            "name": "Nightly",
            "test_set": test_set.pk,
            "endpoint": endpoint.pk,
            "evaluators": [first.pk, second.pk],
            f"place-{first.pk}": "2",
            f"place-{second.pk}": "1",
            f"place-{unused.pk}": "3",
            "model": "gpt-x",
            "repetitions": "3",
            "retry_count": "0",
            "other": '{"temperature": 0.2}',
        },
    )

    made = TestConfiguration.objects.get()
    assert (made.name, made.project, made.test_set, made.endpoint) == ("Nightly", project, test_set, endpoint)
    assert evaluators_of(made) == [second, first]
    assert made.parameters == {"temperature": 0.2, "model": "gpt-x", "repetitions": 3, "retry_count": 0}


@pytest.mark.parametrize("part", ["test_set", "endpoint", "evaluators"])
@pytest.mark.parametrize("where", ["another project", "another organisation"])
def test_a_configuration_uses_nothing_from_elsewhere(as_lead, lead, part, where):
    configuration = make_configuration(make_project(lead.organization))
    elsewhere = make_project(lead.organization if where == "another project" else None)
    thing = {"test_set": make_test_set, "endpoint": make_endpoint, "evaluators": make_evaluator}[part](elsewhere)
    url = reverse("runs:configuration-edit", args=[configuration.pk])

    response = as_lead.post(url, {**values_shown(as_lead.get(url)), part: thing.pk})

    configuration.refresh_from_db()
    assert (response.status_code, list(errors_in(response))) == (422, [part])
    assert (configuration.test_set, configuration.endpoint, evaluators_of(configuration)) == (None, None, [])


@pytest.mark.parametrize(
    ("changes", "wrong"),
    [
        ({"repetitions": "0"}, "repetitions"),
        ({"repetitions": "1.5"}, "repetitions"),
        ({"concurrency": "101"}, "concurrency"),
        ({"timeout": "x"}, "timeout"),
        ({"other": '{"model": "a"}'}, "other"),
        ({"other": "[]"}, "other"),
    ],
)
def test_wrong_parameters_are_refused(as_lead, lead, changes, wrong):
    configuration = make_configuration(make_project(lead.organization))
    url = reverse("runs:configuration-edit", args=[configuration.pk])

    response = as_lead.post(url, {**values_shown(as_lead.get(url)), **changes})

    assert (response.status_code, list(errors_in(response))) == (422, [wrong])


def test_what_is_of_another_project_but_used_stays_chosen(as_lead, lead):
    """An SDK's execution brings a test set and an endpoint of two projects together."""
    project, other = make_project(lead.organization), make_project(lead.organization)
    test_set, judge = make_test_set(other), make_evaluator(other)
    configuration = make_configuration(project, endpoint=make_endpoint(project), test_set=test_set)
    ConfigurationEvaluator.objects.create(configuration=configuration, evaluator=judge, position=0)
    url = reverse("runs:configuration-edit", args=[configuration.pk])

    as_lead.post(url, {**values_shown(as_lead.get(url)), "name": "New name"})

    configuration.refresh_from_db()
    assert (configuration.name, configuration.test_set, evaluators_of(configuration)) == ("New name", test_set, [judge])


def test_what_is_archived_but_used_stays_chosen(as_lead, lead):
    project = make_project(lead.organization)
    endpoint = make_endpoint(project)
    configuration = make_configuration(project, endpoint=endpoint)
    endpoint.archive()
    url = reverse("runs:configuration-edit", args=[configuration.pk])

    as_lead.post(url, {**values_shown(as_lead.get(url)), "name": "New name"})

    configuration.refresh_from_db()
    assert (configuration.name, configuration.endpoint) == ("New name", endpoint)


def test_a_configuration_shows_its_latest_runs(as_lead, lead):
    project = make_project(lead.organization)
    configuration = make_configuration(project)
    make_result(make_run(project, configuration=configuration, name="Monday"), passed=True)
    make_run(project, name="Of another one")

    page = as_lead.get(reverse("runs:configuration-detail", args=[configuration.pk])).content.decode()

    assert ("Monday" in page, "100.0" in page, "Of another one" in page) == (True, True, False)


# --- saved views ------------------------------------------------------------------------------------------------------


def save(client, **values):
    return client.post(
        reverse("runs:view-create"), {"page": "runs", "name": "Nightly", "query": "status=failed", **values}
    )


def test_a_view_is_kept_without_its_place_in_the_list(as_lead, lead):
    save(as_lead, query="?status=failed&status=partial&cursor=abc&result=1&q=&tag=a%26b")

    view = SavedView.objects.get()
    assert (view.query, view.user, view.shared) == ("status=failed&status=partial&tag=a%26b", lead.user, False)


def test_saving_under_the_same_name_replaces_ones_own_view(as_lead, lead):
    save(as_lead)
    save(as_lead, query="status=partial", shared="on")
    save(signed_in(make_actor(lead.organization)), query="status=running")

    assert sorted(SavedView.objects.values_list("query", "shared")) == [
        ("status=partial", True),
        ("status=running", False),
    ]


def test_a_view_is_private_until_it_is_shared(as_lead, lead):
    save(as_lead)
    view = SavedView.objects.get()
    colleague, stranger = signed_in(make_actor(lead.organization, Role.VIEWER)), signed_in(make_actor())
    seen = [["Nightly" in page(who) for who in (as_lead, colleague, stranger)]]

    as_lead.post(reverse("runs:view-share", args=[view.pk]), {"shared": "true"})
    seen.append(["Nightly" in page(who) for who in (as_lead, colleague, stranger)])

    assert seen == [[True, False, False], [True, True, False]]


def page(client):
    return client.get(reverse("runs:view-list")).content.decode()


def test_a_view_gets_another_name_which_no_other_of_ones_own_has(as_lead, lead):
    save(as_lead, name="Nightly")
    save(as_lead, name="Weekly")
    url = reverse("runs:view-edit", args=[SavedView.objects.get(name="Nightly").pk])

    form, taken = as_lead.get(url), as_lead.post(url, {"name": "Weekly"})
    renamed = as_lead.post(url, {"name": "Every night", "shared": "on"})

    assert 'value="Nightly"' in form.text
    assert (taken.status_code, taken.context["form"].errors) == (422, {"name": ["You have a view of this name."]})
    assert renamed["Location"] == reverse("runs:view-list")
    views = SavedView.objects.order_by("name").values_list("name", "query", "shared")
    assert list(views) == [("Every night", "status=failed", True), ("Weekly", "status=failed", False)]
    assert last_event()[0] == "savedview.changed"


@pytest.mark.parametrize("name", ["view-share", "view-delete", "view-edit"])
def test_nobody_changes_a_view_of_somebody_else(as_lead, lead, name):
    save(as_lead, shared="on")
    view = SavedView.objects.get()
    others = [signed_in(make_actor(lead.organization, Role.ADMIN)), signed_in(make_actor())]

    statuses = [other.post(reverse(f"runs:{name}", args=[view.pk])).status_code for other in others]

    view.refresh_from_db()
    assert (statuses, view.shared) == ([404, 404], True)


def test_a_view_is_deleted(as_lead, lead):
    save(as_lead)

    as_lead.post(reverse("runs:view-delete", args=[SavedView.objects.get().pk]))

    assert SavedView.objects.count() == 0
    assert last_event()[0] == "savedview.deleted"


@pytest.mark.parametrize(
    "values",
    [
        {"name": ""},
        {"name": "a\0"},
        {"page": "passwords"},
        {"query": "a=1&" * 300},
        {"query": "\0"},
        {"name": "x" * 81},
    ],
)
def test_a_view_that_cannot_be_kept_is_refused(as_lead, values):
    response = save(as_lead, **values)

    assert (response.status_code, SavedView.objects.count()) == (422, 0)


def test_a_view_is_saved_from_a_dialog_over_the_list(as_lead):
    headers = {"HX-Request": "true", "HX-Request-Type": "partial"}
    url = reverse("runs:view-create")

    dialog = as_lead.get(url, {"page": "runs", "query": "status=failed"}, headers=headers).content.decode()
    saved = as_lead.post(url, {"page": "runs", "query": "status=failed", "name": "Failed"}, headers=headers)

    assert ("<html" in dialog, 'value="status=failed"' in dialog) == (False, True)
    assert (saved.status_code, saved.headers["HX-Redirect"]) == (204, "/runs/?status=failed")
