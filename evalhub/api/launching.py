"""Launching: runs that EvalHub's workers fill, from a configuration or from an earlier run."""

from __future__ import annotations

from typing import Any, Final

from django.urls import URLPattern, path
from rest_framework.request import Request
from rest_framework.response import Response

from evalhub.api.finding import Ref, get, one_project, resolve
from evalhub.api.nouns import refuse_taken_id
from evalhub.api.operations import ApiView, Operation
from evalhub.api.rows import Object
from evalhub.api.runs import RUN_DETAIL, OfRuns
from evalhub.api.set_up import ATTRIBUTES, EXTERNAL_ID, METADATA, TAGS
from evalhub.api.shapes import Choice, Field, Items, Shape, Text, Whole, misfit
from results.models import Rollup
from results.repeating import launch_failed, score_again
from runs.asking import MOST_RETRIES
from runs.launching import LONGEST_TIMEOUT, MOST_CONCURRENCY, MOST_REPETITIONS, launch, launch_again
from runs.models import Category, Endpoint, Evaluator, Prompt, TestConfiguration, TestRun, TestSet, Topic

_LIMITS: Final[dict[str, Field]] = {
    "repetitions": Whole(least=1, most=MOST_REPETITIONS, doc="How often each case is asked."),
    "concurrency": Whole(least=1, most=MOST_CONCURRENCY, doc="Calls at once; never more than the endpoint takes."),
    "timeout": Whole(least=1, most=LONGEST_TIMEOUT, doc="Seconds that one call may take."),
    "retry_count": Whole(least=0, most=MOST_RETRIES, doc="How often a call is tried again."),
}
_SAID: Final[dict[str, Field]] = {
    "name": Text(least=1, most=300, line=True),
    "branch": Text(most=200, line=True),
    "commit": Text(most=200, line=True),
    "model": Text(most=300, line=True),
    "tags": TAGS,
    "metadata": METADATA,
    "attributes": ATTRIBUTES,
    "external_id": EXTERNAL_ID,
}
LAUNCH: Final = Shape(
    "Launch",
    {
        **_SAID,
        "endpoint": Ref(model=Endpoint, doc="Instead of the configuration's."),
        "test_set": Ref(model=TestSet, doc="Instead of the configuration's."),
        "evaluators": Items(of=Ref(model=Evaluator), most=200, once=True, doc="Instead of the configuration's."),
        "judge": Ref(model=Endpoint, doc="The model that is asked where an AI evaluator names none."),
        "simulator": Ref(model=Endpoint, doc="The model that plays the users of conversations with a goal."),
        "category": Ref(model=Category, words=("name",), doc="Only cases of it: its id or name."),
        "topic": Ref(model=Topic, words=("name",), doc="Only cases of it: its id or name."),
        "prompt": Ref(model=Prompt, doc="Only cases with it."),
        **_LIMITS,
    },
    doc="All of it may be left out: the configuration says the rest.",
)
AGAIN: Final = Shape(
    "LaunchAgain",
    {
        "cases": Choice(of=("all", "failed"), doc="`failed`: only those that failed or errored. `all` is usual."),
        **_SAID,
    },
)
SCORING: Final = Shape(
    "NewScoring",
    {
        "evaluators": Items(
            of=Ref(model=Evaluator),
            required=True,
            least=1,
            most=200,
            once=True,
            doc="Those who judge, as they are now.",
        ),
        "judge": Ref(model=Endpoint, doc="The model that is asked where an AI evaluator names none."),
    },
)
SCORED: Final = Object(
    "Scoring",
    {"id": Text(doc="In the metadata of each evaluation that comes of it."), "results": Whole(doc="To be judged.")},
)


class Launches(OfRuns):
    operations = {
        "POST": Operation(
            summary="Launch a run",
            action="launch",
            doc="Workers ask the endpoint every case of the test set and judge the answers; the plan is frozen now. "
            "400 where there is nothing to ask, or nobody who can be.",
            body=LAUNCH,
            answer=RUN_DETAIL,
            status=201,
            also=(400, 409),
            etag=True,
            example={"name": "Nightly", "repetitions": 1, "concurrency": 8},
        )
    }

    def post(self, request: Request, id: str) -> Response:
        actor = self.actor
        configuration = get(TestConfiguration, actor, id)
        values = given(resolve(LAUNCH.fields, self.read_body(), actor))
        refuse_taken_id(TestRun, actor, values.get("external_id"))
        for name in ("endpoint", "test_set"):
            one_project(name, values.get(name), configuration.project_id)
        for n, evaluator in enumerate(values.get("evaluators", ())):
            if evaluator.project_id not in (None, configuration.project_id):
                misfit("belongs to another project", "evaluators", n)
        run = launch(configuration, by=actor, via=TestRun.Via.API, **values)
        return self.answer(self.shown(run.pk), 201)


class Repetitions(OfRuns):
    operations = {
        "POST": Operation(
            summary="Run a run again",
            action="launch",
            doc="A new run of the same configuration, asked in the same way.",
            body=AGAIN,
            answer=RUN_DETAIL,
            status=201,
            also=(400, 409),
            etag=True,
            example={"cases": "failed"},
        )
    }

    def post(self, request: Request, id: str) -> Response:
        actor = self.actor
        run = get(TestRun, actor, id)
        values = given(resolve(AGAIN.fields, self.read_body(), actor))
        refuse_taken_id(TestRun, actor, values.get("external_id"))
        again = launch_failed if values.pop("cases", "all") == "failed" else launch_again
        new = again(run, by=actor, via=TestRun.Via.API, **values)
        return self.answer(self.shown(new.pk), 201)


class Scorings(ApiView):
    operations = {
        "POST": Operation(
            summary="Judge a run again",
            action="launch",
            doc="With other evaluators, or with the same as they are now; nothing is asked again. The newest judgement "
            "of an evaluator counts.",
            body=SCORING,
            answer=SCORED,
            status=202,
            also=(400,),
        )
    }

    def post(self, request: Request, id: str) -> Response:
        run = get(TestRun, self.actor, id)
        values = resolve(SCORING.fields, self.read_body(), self.actor)
        judged = set(Rollup.objects.filter(run=run).values_list("evaluator_id", flat=True))
        for n, evaluator in enumerate(values["evaluators"]):
            if evaluator.project_id not in (None, run.project_id) and evaluator.pk not in judged:
                misfit("belongs to another project", "evaluators", n)
        scoring, results = score_again(run, values["evaluators"], by=self.actor, judge=values.get("judge"))
        return Response({"id": scoring, "results": results}, status=202)


def given(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


urlpatterns: list[URLPattern] = [
    path("configurations/<ident:id>/runs/", Launches.as_view(), name="launch"),
    path("runs/<ident:id>/repetitions/", Repetitions.as_view(), name="run-repetition"),
    path("runs/<ident:id>/scorings/", Scorings.as_view(), name="run-scoring"),
]
