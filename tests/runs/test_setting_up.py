"""The verbs of projects, test sets, cases, evaluators, endpoints and configurations."""

import pytest
from django.db import IntegrityError, transaction
from django.utils import timezone

from evalhub.accounts.rights import Role
from evalhub.audit.models import AuditEvent
from evalhub.web.errors import Refused
from runs.archiving import archive, restore
from runs.cases import (
    CaseSpec,
    add_to_test_set,
    change_case,
    create_case,
    create_cases,
    create_test_set,
    golden_set,
    make_golden,
    move_in_test_set,
    remove_from_test_set,
)
from runs.configurations import change_configuration, create_configuration, evaluators_of
from runs.endpoints import change_endpoint, create_endpoint, is_same_origin
from runs.evaluators import change_evaluator, create_evaluator
from runs.launching import open_run
from runs.models import Case, Evaluator, Project, TestSet
from runs.projects import change_project, create_project
from tests.factories import (
    make_actor,
    make_case,
    make_evaluator,
    make_project,
    make_result,
    make_run,
    make_test_set,
)

pytestmark = pytest.mark.django_db


def events():
    return [(event.action, event.data) for event in AuditEvent.objects.order_by("id")]


def numbers_in(test_set):
    return [case.number for case in test_set.cases.order_by("memberships__position")]


def test_projects_of_one_name_get_slugs_of_their_own():
    actor, stranger = make_actor(), make_actor()

    slugs = [create_project(by=by, name="Support Bot").slug for by in (actor, actor, actor, stranger)]

    assert slugs == ["support-bot", "support-bot-2", "support-bot-3", "support-bot"]


def test_a_name_without_latin_letters_still_gets_a_slug():
    assert create_project(by=make_actor(), name="支援").slug == "project"


def test_a_change_saves_what_differs_and_says_so():
    actor = make_actor()
    project = make_project(actor.organization, name="Old", description="Same")

    change_project(project, by=actor, name="New", description="Same")
    change_project(project, by=actor, name="New", description="Same")

    assert Project.objects.get().name == "New"
    assert events() == [("project.changed", {"changed": ["name"]})]


def test_archiving_twice_is_written_down_once():
    actor = make_actor()
    project = make_project(actor.organization)

    said = [archive(project, by=actor), archive(project, by=actor), restore(project, by=actor)]

    assert said == [True, False, True]
    assert [action for action, _ in events()] == ["project.archived", "project.restored"]


def test_a_set_that_became_golden_meanwhile_is_not_archived():
    project = make_project()
    actor, test_set = make_actor(project.organization), make_test_set(project)
    make_golden(TestSet.objects.get(pk=test_set.pk), by=actor)

    with pytest.raises(Refused, match="cannot be archived"):
        archive(test_set, by=actor)


def test_what_everything_else_falls_back_to_is_not_archived():
    actor = make_actor()
    project = Project.default_of(actor.organization)

    for thing in (project, golden_set(project)):
        with pytest.raises(Refused):
            archive(thing, by=actor)

    assert Project.objects.current().count() == TestSet.objects.current().count() == 1


def test_test_sets_get_slugs_of_their_own_in_their_project():
    actor = make_actor()
    here, there = make_project(actor.organization), make_project(actor.organization)

    slugs = [create_test_set(project, by=actor, name="Regression").slug for project in (here, here, there)]

    assert slugs == ["regression", "regression-2", "regression"]


def test_every_change_of_a_set_raises_its_revision():
    actor = make_actor()
    project = make_project(actor.organization)
    test_set = create_test_set(project, by=actor, name="Regression")

    first = create_case(project, by=actor, test_sets=[test_set], inputs={"input": "Hi"})
    second = create_case(project, by=actor, inputs={"input": "Bye"})
    add_to_test_set(test_set, [first, second, second], by=actor)
    add_to_test_set(test_set, [first], by=actor)
    change_case(first, by=actor, inputs={"input": "Hello"})
    change_case(first, by=actor, name="Greeting")
    remove_from_test_set(test_set, [second.pk], by=actor)
    remove_from_test_set(test_set, [second.pk], by=actor)

    test_set.refresh_from_db()
    assert test_set.revision == 5
    assert numbers_in(test_set) == [1]


def test_cases_move_together_to_their_new_place():
    actor = make_actor()
    test_set = make_test_set(make_project(actor.organization), cases=5)
    ids = {case.number: case.pk for case in test_set.cases.all()}

    move_in_test_set(test_set, [ids[4], ids[2]], to=1, by=actor)
    after_first = numbers_in(test_set)
    move_in_test_set(test_set, [ids[1]], to=99, by=actor)

    assert (after_first, numbers_in(test_set)) == ([2, 4, 1, 3, 5], [2, 4, 3, 5, 1])
    test_set.refresh_from_db()
    assert test_set.revision == 6  # five cases came, none since


def test_a_used_case_keeps_what_it_asked_before():
    actor = make_actor()
    run = make_run(make_project(actor.organization))
    case = make_case(run.project, inputs={"input": "Hi"}, expected={"output": "Hello"})
    make_result(run, case=case.pk)

    change_case(case, by=actor, inputs={"input": "Bye"}, expected={"output": "Hello"})

    case.refresh_from_db()
    assert (case.revision, case.inputs) == (2, {"input": "Bye"})
    assert list(case.revisions.values_list("number", "inputs", "expected")) == [
        (1, {"input": "Hi"}, {"output": "Hello"})
    ]


def test_a_case_nobody_used_changes_in_place():
    actor = make_actor()
    case = make_case(make_project(actor.organization))

    change_case(case, by=actor, inputs={"input": "Other"})

    case.refresh_from_db()
    assert (case.revision, case.revisions.count()) == (1, 0)


def test_pasted_cases_keep_their_order_and_known_ids_keep_their_case():
    actor = make_actor()
    project = make_project(actor.organization)
    known = make_case(project, external_id="a", inputs={"input": "Before"})
    test_set = make_test_set(project)
    specs = [
        CaseSpec(external_id="", inputs={"input": "1"}),
        CaseSpec(external_id="a", inputs={"input": "2"}),
        CaseSpec(external_id="b", inputs={"input": "3"}),
    ]

    cases, made = create_cases(project, specs, by=actor, test_set=test_set)

    assert made == 2
    assert [case.inputs["input"] for case in cases] == ["1", "Before", "3"]
    assert cases[1] == known
    assert list(test_set.cases.order_by("memberships__position")) == cases


def test_pasted_cases_do_not_take_those_of_another_project():
    actor = make_actor()
    make_case(make_project(actor.organization), external_id="a")

    with pytest.raises(Refused):
        create_cases(make_project(actor.organization), [CaseSpec(external_id="a")], by=actor)

    assert Case.objects.count() == 1


def test_a_used_evaluator_keeps_how_it_judged_before():
    actor = make_actor()
    result = make_result(make_run(make_project(actor.organization)))
    evaluator = result.evaluations.get().evaluator

    change_evaluator(evaluator, by=actor, description="No matter")
    change_evaluator(evaluator, by=actor, threshold=0.9)

    evaluator.refresh_from_db()
    assert (evaluator.version, evaluator.threshold) == (2, 0.9)
    assert [(v.number, v.definition["threshold"]) for v in evaluator.versions.all()] == [(1, None)]


def test_a_percentage_whose_bounds_are_said_judges_as_before():
    result = make_result()
    evaluator = result.evaluations.get().evaluator
    change_evaluator(evaluator, value_type="percentage", min_score=None, max_score=None)
    before = Evaluator.objects.get().version

    change_evaluator(evaluator, min_score=0, max_score=1)
    same = Evaluator.objects.get().version
    change_evaluator(evaluator, max_score=0.5)

    assert (same - before, Evaluator.objects.get().version - before) == (0, 1)


def test_a_template_belongs_to_no_project():
    evaluator = create_evaluator(None, by=make_actor(), name="Politeness")

    assert (evaluator.project, evaluator.version) == (None, 1)


@pytest.mark.parametrize(
    ("old", "new", "same"),
    [
        ("https://bot.example.com/a", "https://bot.example.com/b?x=1", True),
        ("https://bot.example.com/a", "https://BOT.example.com:443/a", True),
        ("https://bot.example.com", "https://bot.example.com.evil.net", False),
        ("https://bot.example.com", "https://bot.example.com@evil.net", False),
        ("https://bot.example.com", "http://bot.example.com", False),
        ("https://bot.example.com", "https://bot.example.com:8443", False),
        ("https://bot.example.co", "https://bot.example.com", False),
        ("https://bot.example.com", "", False),
        ("", "", True),
        ("nonsense", "other nonsense", False),
        ("https://[::1]:99999/", "https://[::1]:99998/", False),
    ],
)
def test_a_secret_follows_an_address_only_within_its_origin(old, new, same):
    assert is_same_origin(old, new) is same


def test_a_new_host_forgets_the_stored_secrets():
    actor = make_actor()
    endpoint = create_endpoint(
        make_project(actor.organization),
        by=actor,
        name="Bot",
        url="https://bot.example.com",
        auth_token="s3cret",
        client_secret="0ther",
    )

    kept = change_endpoint(endpoint, by=actor, url="https://bot.example.com/v2").secrets
    lost = change_endpoint(endpoint, by=actor, url="https://evil.example.net").secrets

    assert kept == {"auth_token": "s3cret", "client_secret": "0ther"}
    assert lost == {}
    assert "s3cret" not in str(events())
    assert events()[-1] == (
        "endpoint.changed",
        {"changed": ["sealed_secrets", "url"], "forgotten": ["auth_token", "client_secret"]},
    )


def test_a_new_host_keeps_the_secret_that_comes_with_it():
    actor = make_actor()
    endpoint = create_endpoint(
        make_project(actor.organization), by=actor, name="Bot", url="https://a.example.com", auth_token="old"
    )

    changed = change_endpoint(endpoint, by=actor, url="https://b.example.com", auth_token="new")

    assert changed.secrets == {"auth_token": "new"}


def test_a_configuration_uses_its_evaluators_in_order():
    actor = make_actor()
    project = make_project(actor.organization)
    first, second, third = (make_evaluator(project) for _ in range(3))
    configuration = create_configuration(project, by=actor, name="Nightly", evaluators=[second, first])

    change_configuration(configuration, by=actor, evaluators=[third, second])
    change_configuration(configuration, by=actor, evaluators=[third, second])

    assert evaluators_of(configuration) == [third, second]
    assert events() == [
        ("testconfiguration.created", {}),
        ("testconfiguration.changed", {"changed": ["evaluators"]}),
    ]


def test_events_name_who_did_it():
    actor = make_actor(role=Role.ADMIN)

    project = create_project(by=actor, name="Bot")

    event = AuditEvent.objects.get()
    assert (event.user, event.organization, event.entity_id, event.entity_label) == (
        actor.user,
        actor.organization,
        project.pk,
        "Bot",
    )


def test_a_deleted_day_of_production_calls_makes_room_for_another():
    project = make_project()
    facts = {"name": "Production calls", "via": "gentrace", "kind": "production", "day": timezone.now().date()}

    open_run(project, **facts).mark_deleted()

    assert open_run(project, **facts).deleted_at is None
    with pytest.raises(IntegrityError), transaction.atomic():
        open_run(project, **facts)
