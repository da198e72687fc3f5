import pytest
from django.db import transaction
from django.urls import reverse

from evalhub.accounts.models import ApiToken, User, digest_of
from evalhub.demo.loading import load_demo
from results.models import Review, ReviewAssignment, TestResult
from results.recounting import recount
from runs.models import Endpoint, Evaluator, TestRun, TestSet
from tests.runs.test_setup_pages import values_shown

pytestmark = pytest.mark.django_db


@pytest.fixture
def demo():
    return load_demo("http://127.0.0.1:8000")


def test_the_demo_lets_its_people_in_and_its_token_work(demo, client):
    ines = demo["users"][1]

    assert client.login(username=ines["email"], password=ines["password"])
    assert ApiToken.objects.usable().get().digest == digest_of(demo["api_token"])


def test_the_demo_answers_to_the_ids_on_both_sdk_pages(demo):
    assert TestRun.objects.with_id("FACB6642-4725-4FAE-9323-634E72533C89").get().result_count == 4
    assert TestRun.objects.with_id("run-123").get().configuration.external_id == "config-123"
    assert TestResult.objects.with_id("result-123").get().run.external_id == "run-123"
    assert TestSet.objects.with_id("test-set-456").get().name == "Safety Evaluation"
    assert Endpoint.objects.with_id("endpoint-123").get().name == "Production Chatbot"


def test_the_demo_has_regressions_reviews_in_every_state_and_every_kind_of_evaluator(demo):
    rates = TestRun.objects.filter(name="Nightly regression").order_by("number").values_list("pass_rate", flat=True)

    assert rates[2] < min(rates[0], rates[1]) - 0.1
    assert set(ReviewAssignment.objects.values_list("state", flat=True)) >= {"open", "done", "declined", "withdrawn"}
    assert ReviewAssignment.objects.overdue().exists()
    assert TestResult.objects.filter(review_state="conflict").exists()
    assert TestResult.objects.filter(corrected=True).exists()
    assert set(Evaluator.objects.values_list("who", flat=True)) == {"ai", "heuristic", "human"}
    assert set(Evaluator.objects.values_list("value_type", flat=True)) == {"label", "percentage", "number"}


def test_saving_an_evaluator_of_the_demo_as_it_was_shown_changes_nothing(demo, client):
    client.force_login(User.objects.get(email="ines@acme.example"))
    evaluators = Evaluator.objects.all()
    before = {evaluator.name: (evaluator.version, evaluator.snapshot()) for evaluator in evaluators}
    addresses = [reverse("runs:evaluator-edit", args=[evaluator.pk]) for evaluator in evaluators]

    answers = [client.post(address, values_shown(client.get(address))) for address in addresses]

    assert {answer.status_code for answer in answers} == {302}
    assert {evaluator.name: (evaluator.version, evaluator.snapshot()) for evaluator in evaluators.all()} == before


def test_every_number_of_the_demo_is_what_its_rows_say(demo):
    assert [recount(run.pk, repair=False) for run in TestRun.objects.all()] == [[]] * TestRun.objects.count()


def test_the_demo_is_the_same_on_every_machine():
    def load():
        with transaction.atomic():
            load_demo("http://127.0.0.1:8000")
            numbers = list(
                TestRun.objects.order_by("id").values_list("id", "passed", "failed", "corrected", "conflicts")
            )
            asked = list(ReviewAssignment.objects.order_by("id").values_list("result", "reviewer", "slot", "state"))
            said = list(Review.objects.order_by("id").values_list("result", "reviewer", "verdict"))
            transaction.set_rollback(True)
        return numbers, asked, said

    assert load() == load()


def test_loading_again_changes_nothing_but_the_address(demo):
    before = (User.objects.count(), TestRun.objects.count(), TestResult.objects.count())

    again = load_demo("http://127.0.0.1:9000")

    assert again == demo
    assert (User.objects.count(), TestRun.objects.count(), TestResult.objects.count()) == before
    assert set(Endpoint.objects.values_list("url", flat=True)) == {"http://127.0.0.1:9000/demo/chat/"}
