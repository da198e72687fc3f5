"""Results on their way in: a batch is read by hand, every misfit named by index and field, and kept as a whole."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from django.db.models import Q
from django.urls import URLPattern, path
from rest_framework.request import Request
from rest_framework.response import Response

from evalhub.accounts.actor import Actor
from evalhub.accounts.tenancy import meanings, normal_external_id, of_ids, parse_uuid
from evalhub.api.finding import NO_SUCH, get
from evalhub.api.operations import Operation
from evalhub.api.problems import invalid
from evalhub.api.reading import LARGEST_BODY
from evalhub.api.results import ResultsOfRun
from evalhub.api.rows import Object, list_of
from evalhub.api.set_up import ATTRIBUTES, METADATA, OPTION, TAGS, check_evaluator
from evalhub.api.shapes import (
    Choice,
    Field,
    Flag,
    Ident,
    Items,
    Json,
    Misfit,
    Moment,
    Nested,
    NewId,
    Number,
    OneOf,
    Path,
    Said,
    Shape,
    Text,
    Uuid,
    Whole,
    misfit,
)
from results.models import Evaluation, Outcome, Step
from results.recording import MOST_TOKENS, RecordingError, record_results
from results.records import Judgement, ResultRecord, StepRecord
from runs.cases import CaseSpec
from runs.evaluators import EvaluatorSpec
from runs.models import Case, Evaluator, TestRun

BATCH: Final = 1000

_milliseconds = Number(null=True, least=0, most=1e12)
_dollars = Number(null=True, least=0, most=1e9)
_score = Number(null=True, least=-1e100, most=1e100)


@dataclass(frozen=True, kw_only=True, slots=True)
class Usage(Field):
    """{model: {input, output, ...}} in tokens."""

    doc: str = "{model: {input, output, ...}} in tokens."

    def fit(self, value: Any) -> dict[str, Any]:
        if type(value) is not dict or len(value) > 100:
            misfit("must be an object of at most 100 models")
        for model, counts in value.items():
            if type(counts) is not dict or len(counts) > 100:
                misfit("must be an object of counts", model)
            for name, count in counts.items():
                if type(count) is not int and type(count) is not float:
                    misfit("must be a number", model, name)
                if not 0 <= count <= MOST_TOKENS:
                    misfit(f"must be from 0 to {MOST_TOKENS:,}", model, name)
        return value

    def kind(self) -> dict[str, Any]:
        counts = {"type": "object", "additionalProperties": {"type": "number", "minimum": 0, "maximum": MOST_TOKENS}}
        return {"type": "object", "additionalProperties": counts}


@dataclass(frozen=True, kw_only=True, slots=True)
class Message(Field):
    """One message of a conversation: a role, a content, and whatever else came with it."""

    def fit(self, value: Any) -> dict[str, Any]:
        if type(value) is not dict:
            misfit("must be an object")
        if type(value.get("role")) is not str or not 0 < len(value["role"]) <= 100:
            misfit("must be a text", "role")
        Json(only=dict).fit(value)
        return value

    def kind(self) -> dict[str, Any]:
        role = {"type": "string", "minLength": 1, "maxLength": 100, "examples": ["assistant"]}
        return {
            "type": "object",
            "properties": {"role": role, "content": {}},
            "required": ["role"],
            "additionalProperties": True,
        }


TURN: Final = Shape(
    "NewTurn",
    {
        "turn": Whole(least=0, most=100_000),
        "messages": Items(of=Message(), required=True, most=1000),
        "success": Flag(null=True),
        "latency_ms": _milliseconds,
    },
)
STEP: Final = Shape(
    "NewStep",
    {
        "kind": Choice(of=tuple(Step.Kind.values)),
        "name": Text(most=300),
        "provider": Text(most=300),
        "turn": Whole(null=True, most=100_000),
        "parameters": Json(only=dict),
        "inputs": Said(key="input"),
        "outputs": Said(key="output"),
        "context": Json(only=dict),
        "error": Text(most=100_000),
        "usage": Usage(),
        "cost": _dollars,
        "latency_ms": _milliseconds,
        "started_at": Moment(null=True),
        "finished_at": Moment(null=True),
    },
    doc="One call inside a result: of a model, a tool, a retrieval.",
)
EVALUATOR: Final = Shape(
    "DescribedEvaluator",
    {
        "name": Text(required=True, least=1, most=200, line=True),
        "description": Text(most=20_000),
        "who": Choice(of=tuple(Evaluator.Who.values)),
        "value_type": Choice(of=tuple(Evaluator.ValueType.values)),
        "options": Items(of=Nested(shape=OPTION), most=100),
        "direction": Choice(of=tuple(Evaluator.Direction.values)),
        "threshold": _score,
        "operator": Choice(of=tuple(Evaluator.Operator.values)),
        "min_score": _score,
        "max_score": _score,
        "weight": Number(least=0, most=1e9),
        "definition": Json(only=dict),
    },
    doc="An evaluator by its name; made as described where the project has none of that name.",
)
EVALUATION: Final = Shape(
    "NewEvaluation",
    {
        "evaluator": OneOf(
            required=True,
            text=Ident(doc="Its id or name; a new name makes an evaluator.", example="groundedness"),
            described=EVALUATOR,
        ),
        "value": _score,
        "label": Text(null=True, most=300),
        "passed": Flag(null=True, doc="Where it is not said, the evaluator's threshold or options decide."),
        "state": Choice(of=tuple(Evaluation.State.values), doc="`scored`, or `error` where an error is told."),
        "turn": Whole(null=True, most=100_000, doc="Of one turn of the conversation; null: of the whole result."),
        "threshold": _score,
        "explanation": Text(most=100_000),
        "error": Text(most=100_000),
        "cost": _dollars,
        "latency_ms": _milliseconds,
        "usage": Usage(),
        "debug": Json(only=dict, null=True),
        "metadata": METADATA,
    },
    doc="One judgement. Of a human evaluator it is the token's user's, else a machine's.",
)
CASE: Final = Shape(
    "DescribedCase",
    {
        "id": Ident(required=True, doc="What makes it the same case next time."),
        "name": Text(most=300, line=True),
        "inputs": Said(key="input"),
        "expected": Said(key="output", null=True),
        "tags": TAGS,
        "metadata": METADATA,
        "attributes": ATTRIBUTES,
    },
    doc="A case by its id; made as described where there is none with it.",
)
RESULT: Final = Shape(
    "NewResult",
    {
        "id": NewId(doc="Your own id of the result: sent again, it changes nothing."),
        "case": OneOf(null=True, text=Ident(doc="The id of a case."), described=CASE),
        "variant": Whole(null=True, doc="The position of one of the run's variants."),
        "repetition": Whole(least=1, most=100_000, doc="1 where nothing is said."),
        "name": Text(most=300, line=True),
        "inputs": Said(key="input", doc="The case's where nothing is said. A lone text stands for {input: text}."),
        "expected": Said(key="output", null=True, doc="The case's where nothing is said."),
        "output": Said(key="output", null=True, doc="A lone text stands for {output: text}."),
        "conversation": Items(of=Nested(shape=TURN), most=1000),
        "error": Text(most=100_000, doc="What went wrong; the outcome is then `error`."),
        "error_code": Text(most=60, line=True),
        "outcome": Choice(of=tuple(Outcome.values), doc="Your own word; else the evaluations decide."),
        "latency_ms": _milliseconds,
        "wall_ms": _milliseconds,
        "cost": _dollars,
        "usage": Usage(),
        "tokens": Whole(null=True, most=MOST_TOKENS, doc="All of them; else the sum of `usage`."),
        "started_at": Moment(null=True),
        "finished_at": Moment(null=True),
        "session_id": Text(most=300, line=True),
        "render_html_key": Text(most=200, line=True, doc="The key of the output that holds HTML to show."),
        "tags": TAGS,
        "metadata": METADATA,
        "attributes": ATTRIBUTES,
        "steps": Items(of=Nested(shape=STEP), most=1000),
        "evaluations": Items(of=Nested(shape=EVALUATION), most=1000),
    },
)
NEW_RESULTS: Final = Shape(
    "NewResults", {"results": Items(of=Nested(shape=RESULT), required=True, least=1, most=BATCH)}
)
RECORDED: Final = Object(
    "Recorded",
    {
        "items": list_of(
            Object(
                "RecordedResult",
                {"id": Ident(), "uuid": Uuid(), "created": Flag(doc="False: it was there already and stays as it is.")},
            ),
            "In the order of the batch.",
        ),
        "created": Whole(doc="How many are new."),
    },
)
EXAMPLE: Final = {
    "results": [
        {
            "case": {"id": "refund-30-days", "inputs": "Can I still return it after 30 days?"},
            "output": "Yes, within 60 days.",
            "latency_ms": 812,
            "usage": {"a-model": {"input": 211, "output": 24}},
            "evaluations": [
                {"evaluator": "groundedness", "value": 0.35, "passed": False, "explanation": "The policy says 30 days."}
            ],
        }
    ]
}


class RunResults(ResultsOfRun):
    largest_body = LARGEST_BODY
    operations = {
        **ResultsOfRun.operations,
        "POST": Operation(
            summary="Record results",
            action="record",
            doc=f"Up to {BATCH:,} at once, all of them or none. A result that is there already (by its `id`, else by "
            "case, variant and repetition) is left as it is, so a batch may be sent again.",
            body=NEW_RESULTS,
            batch=True,
            answer=RECORDED,
            status=201,
            example=EXAMPLE,
        ),
    }

    def post(self, request: Request, id: str) -> Response:
        run = get(TestRun, self.actor, id)
        records = records_of(self.read_body()["results"], run, self.actor)
        try:
            recorded = record_results(run, records, via=TestRun.Via.API)
        except RecordingError as wrong:
            raise invalid([((wrong.index, wrong.field), wrong.message)], batch=True) from None
        items = [{"id": one.public_id, "uuid": one.id, "created": one.created} for one in recorded]
        return Response({"items": items, "created": sum(one.created for one in recorded)}, status=201)


def records_of(batch: list[dict[str, Any]], run: TestRun, actor: Actor) -> list[ResultRecord]:
    """The batch as the desk takes it; every reference is looked up once."""
    cases, problems = find_cases(batch, run, actor)
    known = Evaluators(run, actor, (evaluation for result in batch for evaluation in result.get("evaluations", ())))
    records = []
    for index, said in enumerate(batch):
        try:
            judgements = [known.judgement(n, evaluation) for n, evaluation in enumerate(said.pop("evaluations", ()))]
        except Misfit as wrong:
            problems += wrong.at(index)
            continue
        steps = [StepRecord(**step) for step in said.pop("steps", ())]
        said["external_id"] = said.pop("id", None)
        said["reported_outcome"] = said.pop("outcome", "")
        said["case"] = cases[index]
        records.append(ResultRecord(**said, steps=steps, evaluations=judgements))
    if problems:
        raise invalid(problems, batch=True)
    return records


def find_cases(
    batch: list[dict[str, Any]], run: TestRun, actor: Actor
) -> tuple[list[UUID | CaseSpec | None], list[tuple[Path, str]]]:
    named: dict[int, str] = {}
    for index, result in enumerate(batch):
        case = result.get("case")
        if case is not None:
            named[index] = normal_external_id(case if type(case) is str else case["id"])
    rows: dict[object, tuple[UUID, UUID]] = {}
    if named:
        cases = Case.objects.visible_to(actor).with_ids(named.values())
        for pk, external_id, project_id in cases.values_list("pk", "external_id", "project_id"):
            rows[external_id] = rows[str(pk)] = (pk, project_id)
    found: list[UUID | CaseSpec | None] = []
    problems: list[tuple[Path, str]] = []
    for index, result in enumerate(batch):
        case = result.get("case")
        row = rows.get(named.get(index))
        if case is None:
            found.append(None)
        elif row is not None:
            found.append(row[0])
            if row[1] != run.project_id:
                problems.append(((index, "case"), "belongs to another project"))
        elif type(case) is str:
            found.append(None)
            problems.append(((index, "case"), NO_SUCH))
        else:
            rest = {key: value for key, value in case.items() if key != "id"}
            found.append(CaseSpec(external_id=named[index], **rest))
    return found, problems


class Evaluators:
    """The evaluators that some evaluations name: by id anywhere in the organisation, by name in the run's project."""

    def __init__(self, run: TestRun, actor: Actor, evaluations: Iterable[dict[str, Any]]) -> None:
        self.actor = actor
        self.by_id: dict[str, Evaluator] = {}
        self.by_name: dict[str, Evaluator] = {}
        names = {one["evaluator"] if type(one["evaluator"]) is str else one["evaluator"]["name"] for one in evaluations}
        if not names:
            return
        wanted = Q(project=run.project_id, name__in=names) | of_ids(*meanings(names))
        rows = Evaluator.objects.visible_to(actor).filter(wanted)
        for row in sorted(rows, key=lambda row: (row.archived_at is None, row.origin == Evaluator.Origin.OWN)):
            self.by_id[str(row.pk)] = row
            if row.external_id:
                self.by_id[row.external_id] = row
            if row.project_id == run.project_id:
                self.by_name[row.name] = row

    def judgement(self, n: int, said: dict[str, Any]) -> Judgement:
        evaluator = self.find(n, said.pop("evaluator"))
        if "state" not in said and said.get("error") and said.get("value") is None and said.get("label") is None:
            said["state"] = Evaluation.State.ERROR
        state = said.get("state", Evaluation.State.SCORED)
        if state != Evaluation.State.SCORED:
            for key in ("value", "label", "passed"):
                if said.get(key) is not None:
                    misfit(f"is for scored evaluations, and this one is {state}", "evaluations", n, key)
        who = evaluator.who if not isinstance(evaluator, str) else None
        if who == Evaluator.Who.HUMAN:
            said["source"] = Evaluation.Source.HUMAN
            if state != Evaluation.State.PENDING:
                said["author_id"] = self.actor.user.pk
        return Judgement(evaluator=evaluator, **said)

    def find(self, n: int, named: str | dict[str, Any]) -> Evaluator | EvaluatorSpec | str:
        if isinstance(named, dict):
            check_evaluator(named, "evaluations", n, "evaluator")
            kind = Evaluator.ValueType.LABEL if named.get("options") else Evaluator.ValueType.NUMBER
            return self.by_name.get(named["name"]) or EvaluatorSpec(**{"value_type": kind, **named})
        found = self.by_id.get(named) or self.by_id.get(named.lower()) or self.by_name.get(named)
        if found is not None:
            return found
        if parse_uuid(named):
            misfit(NO_SUCH, "evaluations", n, "evaluator")
        if len(named) > 200:
            misfit("is longer than 200 characters", "evaluations", n, "evaluator")
        return named


urlpatterns: list[URLPattern] = [path("runs/<ident:id>/results/", RunResults.as_view(), name="run-results")]
