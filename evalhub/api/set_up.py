"""What is set up: projects, test sets, cases, evaluators, endpoints, configurations."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from django.contrib.postgres.expressions import ArraySubquery
from django.core.exceptions import ValidationError
from django.db.models import F, OuterRef
from django.db.models.functions import JSONObject
from django.urls import URLPattern, path
from rest_framework.request import Request
from rest_framework.response import Response

from evalhub.accounts.actor import Actor
from evalhub.api.finding import Member, Ref, get, resolve
from evalhub.api.nouns import SORTS, Noun
from evalhub.api.operations import PAGING, ApiView, Operation, pages_of
from evalhub.api.problems import field_problem
from evalhub.api.rows import (
    REFERENCE,
    Row,
    Shown,
    Values,
    choice,
    computed,
    flag,
    list_of,
    moment,
    number,
    person,
    public_id,
    raw,
    reference,
    text,
    texts,
    uuid,
    whole,
)
from evalhub.api.shapes import (
    Choice,
    Field,
    Flag,
    Items,
    Json,
    Nested,
    NewId,
    Number,
    Said,
    Shape,
    Text,
    Whole,
    misfit,
)
from evalhub.web.paging import Order
from runs.cases import (
    add_to_test_set,
    change_case,
    change_test_set,
    count_of_members,
    create_case,
    create_test_set,
    ensure_word,
    remove_from_test_set,
)
from runs.configurations import change_configuration, create_configuration
from runs.endpoints import change_endpoint, check_address, create_endpoint
from runs.evaluators import NO_OTHER_JUDGE, change_evaluator, create_evaluator, may_become, misfit_of
from runs.models import (
    Case,
    CaseRevision,
    Category,
    ConfigurationEvaluator,
    Endpoint,
    Evaluator,
    EvaluatorVersion,
    Project,
    Requirement,
    TestConfiguration,
    TestSet,
    Topic,
)
from runs.projects import change_project, create_project
from runs.setup_filters import (
    CaseFilter,
    ConfigurationFilter,
    EndpointFilter,
    EvaluatorFilter,
    ProjectFilter,
    TestSetFilter,
)

NAME: Final = Text(required=True, least=1, most=200, line=True)
LONG_NAME: Final = Text(required=True, least=1, most=300, line=True)
DESCRIPTION: Final = Text(most=20_000)
TAGS: Final = Items(of=Text(least=1, most=80, line=True), most=50, once=True, example=["nightly"])
METADATA: Final = Json(only=dict, doc="Typed values that pages show: {key: {type, value}}.")
ATTRIBUTES: Final = Json(only=dict, doc="Free values of yours, kept as they come.")
EXTERNAL_ID: Final = NewId(doc="Your own id of it, unique in the organisation; accepted wherever an id is.")
OWNER: Final = Member(null=True, doc="A colleague's id or e-mail address.")
PROJECT: Final = Ref(model=Project, words=("slug",), required=True, doc="Its id or slug.", example="support-bot")

USUAL: Final[dict[str, Field]] = {"owner": OWNER, "tags": TAGS, "metadata": METADATA, "attributes": ATTRIBUTES}
TIMES: Final[dict[str, Shown]] = {
    "created_at": moment("created_at", null=False),
    "updated_at": moment("updated_at", null=False),
    "archived_at": moment("archived_at"),
}
OWN: Final[dict[str, Shown]] = {"metadata": raw("metadata", only=dict), "attributes": raw("attributes", only=dict)}


def not_required(field: Field) -> Field:
    return replace(field, required=False)


def shapes_of(
    name: str, fields: Mapping[str, Field], *, only_new: tuple[str, ...] = ("project",)
) -> tuple[Shape, Shape]:
    """What makes a thing, and what changes one: the same keys, but none required, and not those of ``only_new``."""
    create = Shape(f"New{name}", {**fields, "external_id": EXTERNAL_ID})
    changeable = {key: not_required(field) for key, field in fields.items() if key not in only_new}
    return create, Shape(f"{name}Changes", changeable, partial=True)


# --- projects ---------------------------------------------------------------------------------------------------------

_project_row: dict[str, Shown] = {
    "id": public_id(),
    "uuid": uuid(),
    "name": text("name"),
    "slug": text("slug"),
    "description": text("description"),
    "labels": texts("labels"),
    "icon": text("icon"),
    "branch": text("branch"),
    "is_default": flag("is_default", "Takes what arrives without a project."),
    "owner": person("owner"),
    "tags": texts("tags"),
    **TIMES,
}
_new_project, _project_changes = shapes_of(
    "Project",
    {
        "name": NAME,
        "description": DESCRIPTION,
        "labels": TAGS,
        "icon": Text(most=80, line=True),
        "branch": Text(most=200, line=True),
        **USUAL,
    },
)

PROJECTS: Final = Noun(
    word="project",
    words="projects",
    label="a project",
    labels="projects",
    model=Project,
    row=Row("Project", _project_row),
    shown=Row("ProjectDetail", {**_project_row, **OWN}),
    create=_new_project,
    change=_project_changes,
    make=lambda actor, values: create_project(by=actor, **values),
    edit=lambda row, actor, values: change_project(row, by=actor, **values),
    filters=ProjectFilter,
    example={"name": "Support bot", "description": "Answers questions about orders and refunds."},
)

# --- test sets --------------------------------------------------------------------------------------------------------

_test_set_row: dict[str, Shown] = {
    "id": public_id(),
    "uuid": uuid(),
    "project": reference("project"),
    "name": text("name"),
    "slug": text("slug"),
    "description": text("description"),
    "short_description": text("short_description"),
    "kind": choice("kind", TestSet.Kind.values),
    "is_golden": flag("is_golden", "The project's own set: takes cases that have no other."),
    "revision": whole("revision", "Rises with every change of its cases."),
    "case_count": Shown(
        Whole(),
        ("live_cases",),
        None,
        {"live_cases": count_of_members()},
    ),
    "owner": person("owner"),
    "tags": texts("tags"),
    **TIMES,
}
_new_test_set, _test_set_changes = shapes_of(
    "TestSet",
    {
        "project": PROJECT,
        "name": LONG_NAME,
        "description": DESCRIPTION,
        "short_description": Text(most=1000),
        "kind": Choice(of=tuple(TestSet.Kind.values)),
        **USUAL,
    },
)


def _make_test_set(actor: Actor, values: dict[str, Any]) -> TestSet:
    return create_test_set(values.pop("project"), by=actor, **values)


TEST_SETS: Final = Noun(
    word="test-set",
    words="test-sets",
    label="a test set",
    labels="test sets",
    model=TestSet,
    row=Row("TestSet", _test_set_row),
    shown=Row("TestSetDetail", {**_test_set_row, **OWN}),
    create=_new_test_set,
    change=_test_set_changes,
    make=_make_test_set,
    edit=lambda row, actor, values: change_test_set(row, by=actor, **values),
    filters=TestSetFilter,
    more_filters={"is_golden": Flag()},
    example={"project": "support-bot", "name": "Refund questions"},
)

# --- cases ------------------------------------------------------------------------------------------------------------

_case_row: dict[str, Shown] = {
    "id": public_id(),
    "uuid": uuid(),
    "project": reference("project"),
    "number": whole("number", "Unique in the project."),
    "name": text("name"),
    "kind": choice("kind", TestSet.Kind.values),
    "revision": whole("revision", "Rises when its inputs or its expectation change after it was used."),
    "category": text("category__name", null=True),
    "topic": text("topic__name", null=True),
    "requirement": text("requirement__name", null=True),
    "prompt": text("prompt__content", "What it was made from.", null=True),
    "priority": whole("priority", null=True),
    "owner": person("owner"),
    "assignee": person("assignee"),
    "tags": texts("tags"),
    **TIMES,
}
_case_content: dict[str, Shown] = {
    "inputs": raw("inputs", only=dict),
    "expected": raw("expected", null=True),
    "plan": raw("plan", "Of a conversation: goal, instructions, restrictions.", null=True),
}
_word = Text(null=True, least=1, most=200, line=True, doc="By name; made when it is new.")
_new_case, _case_changes = shapes_of(
    "Case",
    {
        "project": Ref(model=Project, words=("slug",), doc="Its id or slug; the default project where none is named."),
        "test_sets": Items(of=Ref(model=TestSet), most=50, doc="The sets that it joins, at their end."),
        "name": Text(most=300, line=True),
        "kind": Choice(of=tuple(TestSet.Kind.values)),
        "inputs": Said(key="input", required=True, doc="An object; a lone text stands for {input: text}."),
        "expected": Said(key="output", null=True, doc="An object; a lone text stands for {output: text}."),
        "plan": Json(only=dict, null=True),
        "category": _word,
        "topic": _word,
        "requirement": _word,
        "priority": Whole(null=True, most=1_000_000),
        "assignee": OWNER,
        **USUAL,
    },
    only_new=("project", "test_sets"),
)
WORDS: Final[dict[str, Any]] = {"category": Category, "topic": Topic, "requirement": Requirement}


def _with_words(actor: Actor, values: dict[str, Any]) -> dict[str, Any]:
    """Categories, topics and requirements by name."""
    named = {
        key: ensure_word(model, actor.organization, values[key]) if values[key] else None
        for key, model in WORDS.items()
        if key in values
    }
    return {**values, **named}


def _make_case(actor: Actor, values: dict[str, Any]) -> Case:
    project = values.pop("project", None) or Project.default_of(actor.organization)
    for n, test_set in enumerate(values.get("test_sets", ())):
        if test_set.project_id != project.pk:
            misfit("belongs to another project", "test_sets", n)
    return create_case(project, by=actor, **_with_words(actor, values))


CASES: Final = Noun(
    word="case",
    words="cases",
    label="a case",
    labels="cases",
    model=Case,
    row=Row("Case", _case_row),
    shown=Row("CaseDetail", {**_case_row, **_case_content, **OWN}),
    create=_new_case,
    change=_case_changes,
    make=_make_case,
    edit=lambda row, actor, values: change_case(row, by=actor, **_with_words(actor, values)),
    filters=CaseFilter,
    more_filters={"number": Whole(least=1), "kind": Choice(of=tuple(TestSet.Kind.values))},
    sort="-created",
    sorts={**SORTS, "number": Order("number"), "-number": Order("-number")},
    note="The order of a test set's own cases is under `/api/test-sets/{id}/cases/`.",
    example={"project": "support-bot", "name": "Refund after 30 days", "inputs": {"input": "Can I still return it?"}},
)

# --- evaluators -------------------------------------------------------------------------------------------------------

OPTION: Final = Shape(
    "EvaluatorOption",
    {
        "label": Text(required=True, least=1, most=300, line=True),
        "value": Number(null=True, doc="What the label counts, usually 0 to 1."),
        "passes": Flag(null=True, doc="Whether the label passes; null gives no verdict."),
    },
)
_judging: dict[str, Shown] = {
    "threshold": number("threshold"),
    "operator": choice("operator", Evaluator.Operator.values),
    "direction": choice("direction", Evaluator.Direction.values),
    "min_score": number("min_score"),
    "max_score": number("max_score"),
    "weight": number("weight", "0: informative only, gives no verdict.", null=False),
}
_evaluator_row: dict[str, Shown] = {
    "id": public_id(),
    "uuid": uuid(),
    "project": reference("project", "Null: a template.", null=True),
    "name": text("name"),
    "description": text("description"),
    "who": choice("who", Evaluator.Who.values),
    "value_type": choice("value_type", Evaluator.ValueType.values),
    **_judging,
    "version": whole("version", "Rises when the way of judging changes after it was used."),
    "origin": choice("origin", Evaluator.Origin.values),
    "icon": text("icon"),
    "owner": person("owner"),
    "tags": texts("tags"),
    **TIMES,
}
_bound = Number(null=True)
_new_evaluator, _evaluator_changes = shapes_of(
    "Evaluator",
    {
        "project": Ref(model=Project, words=("slug",), null=True, doc="Its id or slug; null makes a template."),
        "name": NAME,
        "description": DESCRIPTION,
        "who": Choice(of=tuple(Evaluator.Who.values)),
        "value_type": Choice(of=tuple(Evaluator.ValueType.values)),
        "options": Items(of=Nested(shape=OPTION), most=100, doc="The labels, in their order."),
        "direction": Choice(of=tuple(Evaluator.Direction.values)),
        "threshold": _bound,
        "operator": Choice(of=tuple(Evaluator.Operator.values)),
        "min_score": _bound,
        "max_score": _bound,
        "weight": Number(least=0),
        "definition": Json(only=dict, doc="How it judges: model, prompt, heuristic and its settings, question."),
        "icon": Text(most=80, line=True),
        **USUAL,
    },
)


def _make_evaluator(actor: Actor, values: dict[str, Any]) -> Evaluator:
    check_evaluator(values)
    return create_evaluator(values.pop("project", None), by=actor, **values)


def _edit_evaluator(row: Evaluator, actor: Actor, values: dict[str, Any]) -> Evaluator:
    check_evaluator({"min_score": row.min_score, "max_score": row.max_score, **values})
    if not may_become(row, values.get("who", row.who)):
        misfit(NO_OTHER_JUDGE, "who")
    return change_evaluator(row, by=actor, **values)


def check_evaluator(described: dict[str, Any], *path: str | int) -> None:
    wrong = misfit_of(described)
    if wrong is not None:
        misfit(wrong[1], *path, *wrong[0])


EVALUATORS: Final = Noun(
    word="evaluator",
    words="evaluators",
    label="an evaluator",
    labels="evaluators",
    model=Evaluator,
    row=Row("Evaluator", _evaluator_row),
    shown=Row(
        "EvaluatorDetail",
        {
            **_evaluator_row,
            "options": raw("options", only=list),
            "definition": raw("definition", only=dict),
            **OWN,
        },
    ),
    create=_new_evaluator,
    change=_evaluator_changes,
    make=_make_evaluator,
    edit=_edit_evaluator,
    filters=EvaluatorFilter,
    example={
        "project": "support-bot",
        "name": "groundedness",
        "who": "ai",
        "value_type": "percentage",
        "threshold": 0.7,
    },
)

# --- endpoints --------------------------------------------------------------------------------------------------------

HIDDEN: Final = "••••••"
SECRET_HEADER: Final = re.compile(r"auth|key|token|secret|cookie|password|signature", re.IGNORECASE)
HEADERS: Final = Json(
    only=dict, doc=f"Values of headers that look like credentials are shown as {HIDDEN}; sent back so, they stay."
)


def _headers_shown(values: Values) -> dict[str, Any]:
    return {
        name: HIDDEN if SECRET_HEADER.search(name) and value else value
        for name, value in (values["request_headers"] or {}).items()
    }


_endpoint_row: dict[str, Shown] = {
    "id": public_id(),
    "uuid": uuid(),
    "project": reference("project"),
    "name": text("name"),
    "description": text("description"),
    "connection_type": choice("connection_type", Endpoint.Connection.values),
    "url": text("url"),
    "method": text("method"),
    "endpoint_path": text("endpoint_path"),
    "response_format": choice("response_format", Endpoint.Format.values),
    "auth_type": choice("auth_type", Endpoint.Auth.values),
    "has_secrets": computed(
        Flag(doc="Whether a token or client secret is stored. They are never shown."),
        ("sealed_secrets",),
        lambda values: bool(values["sealed_secrets"]),
    ),
    "environment": choice("environment", Endpoint.Environment.values),
    "timeout_seconds": whole("timeout_seconds"),
    "max_concurrency": whole("max_concurrency"),
    "owner": person("owner"),
    "tags": texts("tags"),
    **TIMES,
}
_endpoint_details: dict[str, Shown] = {
    "request_headers": computed(HEADERS, ("request_headers",), _headers_shown),
    "query_params": raw("query_params", only=dict),
    "request_mapping": raw("request_mapping", only=dict),
    "response_mapping": raw("response_mapping", only=dict),
    "client_id": text("client_id"),
    "token_url": text("token_url"),
    "scopes": texts("scopes"),
}
_secret = Text(most=4000, line=True, doc="Write-only. An empty text forgets it.")
_new_endpoint, _endpoint_changes = shapes_of(
    "Endpoint",
    {
        "project": PROJECT,
        "name": NAME,
        "description": DESCRIPTION,
        "connection_type": Choice(of=tuple(Endpoint.Connection.values)),
        "url": Text(
            most=2000,
            line=True,
            example="https://bot.example.com/chat",
            doc="Another scheme, host or port forgets the stored secrets that are not sent with it.",
        ),
        "method": Choice(of=("GET", "POST", "PUT", "PATCH", "DELETE")),
        "endpoint_path": Text(most=2000, line=True),
        "request_headers": HEADERS,
        "query_params": Json(only=dict),
        "request_mapping": Json(only=dict),
        "response_mapping": Json(only=dict),
        "response_format": Choice(of=tuple(Endpoint.Format.values)),
        "auth_type": Choice(of=tuple(Endpoint.Auth.values)),
        "auth_token": _secret,
        "client_id": Text(most=300, line=True),
        "client_secret": _secret,
        "token_url": Text(most=2000, line=True),
        "scopes": Items(of=Text(least=1, most=200, line=True), most=100),
        "environment": Choice(of=tuple(Endpoint.Environment.values)),
        "timeout_seconds": Whole(least=1, most=3600),
        "max_concurrency": Whole(least=1, most=1000),
        **USUAL,
    },
)


def _check_endpoint(values: dict[str, Any], kept: Mapping[str, Any]) -> dict[str, Any]:
    """Addresses that can be ones; headers of strings, with what was hidden put back."""
    for name in ("url", "token_url"):
        if values.get(name):
            try:
                check_address(values[name])
            except ValidationError as wrong:
                raise field_problem(name, " ".join(wrong.messages)) from None
    if "request_headers" not in values:
        return values
    headers = {
        name: kept.get(name, "") if value == HIDDEN else value for name, value in values["request_headers"].items()
    }
    for name, value in headers.items():
        if not re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,100}", name, re.ASCII):
            misfit("is not a header's name", "request_headers", name)
        if type(value) is not str or len(value) > 4000 or re.search(r"[\x00-\x1f\x7f]", value):
            misfit("must be a text in one line", "request_headers", name)
    return {**values, "request_headers": headers}


def _make_endpoint(actor: Actor, values: dict[str, Any]) -> Endpoint:
    return create_endpoint(values.pop("project"), by=actor, **_check_endpoint(values, {}))


def _edit_endpoint(row: Endpoint, actor: Actor, values: dict[str, Any]) -> Endpoint:
    return change_endpoint(row, by=actor, **_check_endpoint(values, row.request_headers))


ENDPOINTS: Final = Noun(
    word="endpoint",
    words="endpoints",
    label="an endpoint",
    labels="endpoints",
    model=Endpoint,
    row=Row("Endpoint", _endpoint_row),
    shown=Row("EndpointDetail", {**_endpoint_row, **_endpoint_details, **OWN}),
    create=_new_endpoint,
    change=_endpoint_changes,
    make=_make_endpoint,
    edit=_edit_endpoint,
    filters=EndpointFilter,
    note="Secrets go in and never come out.",
    example={"project": "support-bot", "name": "Production", "url": "https://bot.example.com/chat"},
)

# --- configurations ---------------------------------------------------------------------------------------------------

_evaluators_of = ArraySubquery(
    ConfigurationEvaluator.objects.filter(configuration=OuterRef("pk"), evaluator__deleted_at__isnull=True)
    .order_by("position", "id")
    .values(item=JSONObject(id="evaluator_id", external_id="evaluator__external_id", name="evaluator__name"))
)
_configuration_row: dict[str, Shown] = {
    "id": public_id(),
    "uuid": uuid(),
    "project": reference("project"),
    "name": text("name"),
    "description": text("description"),
    "endpoint": reference("endpoint", null=True),
    "test_set": reference("test_set", null=True),
    "category": text("category__name", "Runs ask the set's cases of this category only; null: of all.", null=True),
    "topic": text("topic__name", "Likewise.", null=True),
    "prompt": text("prompt__content", "Likewise: cases made from this prompt.", null=True),
    "status": text("status", "A word or an id of Rhesis' list of statuses."),
    "evaluators": Shown(
        list_of(REFERENCE),
        ("its_evaluators",),
        lambda values: [
            {"id": one["external_id"] or one["id"], "name": one["name"]} for one in values["its_evaluators"]
        ],
        {"its_evaluators": _evaluators_of},
    ),
    "owner": person("owner"),
    "tags": texts("tags"),
    **TIMES,
}
_new_configuration, _configuration_changes = shapes_of(
    "Configuration",
    {
        "project": PROJECT,
        "name": LONG_NAME,
        "description": DESCRIPTION,
        "endpoint": Ref(model=Endpoint, null=True, doc="Null: results come from elsewhere."),
        "test_set": Ref(model=TestSet, null=True),
        "evaluators": Items(of=Ref(model=Evaluator), most=200, once=True, doc="All of them, in their order."),
        "category": _word,
        "topic": _word,
        "parameters": Json(only=dict, doc="model, repetitions, concurrency, timeout, and your own."),
        **USUAL,
    },
)


def _check_configuration(project_id: Any, values: dict[str, Any]) -> None:
    for name in ("endpoint", "test_set"):
        if values.get(name) is not None and values[name].project_id != project_id:
            misfit("belongs to another project", name)
    for n, evaluator in enumerate(values.get("evaluators", ())):
        if evaluator.project_id not in (None, project_id):
            misfit("belongs to another project", "evaluators", n)


def _make_configuration(actor: Actor, values: dict[str, Any]) -> TestConfiguration:
    project = values.pop("project")
    _check_configuration(project.pk, values)
    return create_configuration(project, by=actor, **_with_words(actor, values))


def _edit_configuration(row: TestConfiguration, actor: Actor, values: dict[str, Any]) -> TestConfiguration:
    _check_configuration(row.project_id, values)
    return change_configuration(row, by=actor, **_with_words(actor, values))


CONFIGURATIONS: Final = Noun(
    word="configuration",
    words="configurations",
    label="a configuration",
    labels="configurations",
    model=TestConfiguration,
    row=Row("Configuration", _configuration_row),
    shown=Row("ConfigurationDetail", {**_configuration_row, "parameters": raw("parameters", only=dict), **OWN}),
    create=_new_configuration,
    change=_configuration_changes,
    make=_make_configuration,
    edit=_edit_configuration,
    filters=ConfigurationFilter,
    example={"project": "support-bot", "name": "Nightly", "test_set": "refund-questions"},
)

# --- a test set's cases -----------------------------------------------------------------------------------------------

_MEMBERS: Final = Shape(
    "TestSetMembers",
    {"cases": Items(of=Ref(model=Case), required=True, least=1, most=1000, once=True)},
    doc="Cases that join the set at its end; those that are in it stay where they are.",
)
_MEMBER_ROW: Final = Row("TestSetCase", {"position": whole("place"), **_case_row, **_case_content})


class TestSetCases(ApiView):
    """The cases of one set, in its order."""

    __test__ = False
    operations = {
        "GET": Operation(
            summary="List a test set's cases",
            action="read",
            doc="In the order of the set, with what they ask.",
            query=PAGING,
            answer=pages_of(_MEMBER_ROW, "TestSetCasePage"),
        ),
        "POST": Operation(
            summary="Add cases to a test set",
            action="set_up",
            body=_MEMBERS,
            answer=TEST_SETS.shown,
            example={"cases": ["refund-30-days", "refund-broken"]},
        ),
    }

    def get(self, request: Request, id: str) -> Response:
        test_set = get(TestSet, self.actor, id)
        cases = Case.objects.visible_to(self.actor).filter(memberships__test_set=test_set)
        placed = cases.annotate(place=F("memberships__position"))
        return self.page(placed, Order("place", nullable={"place": False}), _MEMBER_ROW)

    def post(self, request: Request, id: str) -> Response:
        test_set = get(TestSet, self.actor, id)
        cases = resolve(_MEMBERS.fields, self.read_body(), self.actor)["cases"]
        for n, case in enumerate(cases):
            if case.project_id != test_set.project_id:
                misfit("belongs to another project", "cases", n)
        add_to_test_set(test_set, cases, by=self.actor)
        (shown,) = TEST_SETS.shown.fetch(TestSet.objects.visible_to(self.actor).filter(pk=test_set.pk))
        return Response(shown)


class TestSetMember(ApiView):
    """One case's place in a set."""

    __test__ = False
    operations = {
        "DELETE": Operation(
            summary="Take a case out of a test set",
            action="set_up",
            doc="The case itself stays. Taking out one that is not in the set is no mistake.",
            status=204,
        )
    }

    def delete(self, request: Request, id: str, case: str) -> Response:
        test_set, member = get(TestSet, self.actor, id), get(Case, self.actor, case)
        remove_from_test_set(test_set, [member.pk], by=self.actor)
        return Response(status=204)


# --- how it was before ------------------------------------------------------------------------------------------------

_VERSION: Final = Row(
    "EvaluatorVersion",
    {
        "number": whole("number"),
        "definition": raw("definition", only=dict),
        "replaced_at": moment("created_at", null=False),
    },
    doc="An evaluator as it judged before it changed.",
)
_REVISION: Final = Row(
    "CaseRevision",
    {
        "number": whole("number"),
        "inputs": raw("inputs", only=dict),
        "expected": raw("expected", null=True),
        "replaced_at": moment("created_at", null=False),
    },
    doc="A case as it asked before it changed.",
)


class EvaluatorVersions(ApiView):
    operations = {
        "GET": Operation(
            summary="List an evaluator's earlier versions",
            action="read",
            query=PAGING,
            answer=pages_of(_VERSION, "EvaluatorVersionPage"),
        )
    }

    def get(self, request: Request, id: str) -> Response:
        evaluator = get(Evaluator, self.actor, id)
        versions = EvaluatorVersion.objects.visible_to(self.actor).filter(evaluator=evaluator)
        return self.page(versions, Order("-number"), _VERSION)


class CaseRevisions(ApiView):
    operations = {
        "GET": Operation(
            summary="List a case's earlier revisions",
            action="read",
            query=PAGING,
            answer=pages_of(_REVISION, "CaseRevisionPage"),
        )
    }

    def get(self, request: Request, id: str) -> Response:
        case = get(Case, self.actor, id)
        revisions = CaseRevision.objects.visible_to(self.actor).filter(case=case)
        return self.page(revisions, Order("-number"), _REVISION)


NOUNS: Final = (PROJECTS, TEST_SETS, CASES, EVALUATORS, ENDPOINTS, CONFIGURATIONS)

urlpatterns: list[URLPattern] = [
    *(pattern for noun in NOUNS for pattern in noun.urls()),
    path("test-sets/<ident:id>/cases/", TestSetCases.as_view(), name="test-set-cases"),
    path("test-sets/<ident:id>/cases/<ident:case>/", TestSetMember.as_view(), name="test-set-case"),
    path("evaluators/<ident:id>/versions/", EvaluatorVersions.as_view(), name="evaluator-versions"),
    path("cases/<ident:id>/revisions/", CaseRevisions.as_view(), name="case-revisions"),
]
