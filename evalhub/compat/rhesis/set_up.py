"""What is set up: projects, endpoints, test configurations and metrics (our evaluators)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID

from django.db.models import BooleanField, Case, F, Q, Value, When
from django.db.models.fields.json import KeyTextTransform
from django.http.response import HttpResponseBase

from evalhub.audit.models import record_event
from evalhub.compat.rhesis.beside import beside, tags_given
from evalhub.compat.rhesis.door import Call
from evalhub.compat.rhesis.finding import (
    NANO,
    colleague,
    find,
    find_test_set,
    meaning_of,
    meaning_of_user,
    needed,
    referred,
    visible,
)
from evalhub.compat.rhesis.listing import in_order, list_rows
from evalhub.compat.rhesis.odata import Field, Fields
from evalhub.compat.rhesis.reading import Body, Invalid, Refusal
from evalhub.compat.rhesis.test_sets import project_of, status_in
from evalhub.compat.rhesis.words import (
    CONFIGURATION_COLUMNS,
    ENDPOINT_COLUMNS,
    EVALUATOR_COLUMNS,
    PROJECT_COLUMNS,
    Words,
    as_configuration,
    as_endpoint,
    as_metric,
    as_project,
)
from evalhub.database.secrets import open_sealed
from results.model_judges import PROMPT
from runs.archiving import archive, delete, restore
from runs.configurations import change_configuration, create_configuration
from runs.endpoints import change_endpoint, check_address, create_endpoint
from runs.evaluators import change_evaluator, create_evaluator
from runs.models import (
    Category,
    Endpoint,
    Evaluator,
    Project,
    Prompt,
    Requirement,
    TestConfiguration,
    TestSet,
    TestSetEvaluator,
    Topic,
)
from runs.projects import change_project, create_project

COMMON: Final = ("id", "nano_id", "created_at", "updated_at", "organization_id", "user_id", "project_id")
PROJECT_KEYS: Final = (
    *COMMON, "name", "description", "icon", "is_active", "status_id", "owner_id", "attributes", "tags",
)  # fmt: skip
ENDPOINT_KEYS: Final = (
    *COMMON, "name", "description", "connection_type", "url", "method", "endpoint_path", "request_headers",
    "query_params", "request_mapping", "response_mapping", "response_format", "auth_type", "client_id", "token_url",
    "scopes", "has_auth_token", "environment", "timeout_seconds", "owner_id", "status_id", "status", "project",
    "attributes", "tags",
)  # fmt: skip
CONFIGURATION_KEYS: Final = (
    *COMMON, "name", "description", "endpoint_id", "test_set_id", "category_id", "topic_id", "prompt_id",
    "use_case_id", "status_id", "status", "attributes", "endpoint", "test_set", "tags",
)  # fmt: skip
METRIC_KEYS: Final = (
    *COMMON, "name", "description", "evaluation_prompt", "evaluation_steps", "reasoning", "evaluation_examples",
    "score_type", "min_score", "max_score", "threshold", "threshold_operator", "reference_score", "categories",
    "passing_categories", "metric_scope", "metric_type", "backend_type", "class_name", "ground_truth_required",
    "context_required", "explanation", "model_id", "owner_id", "tags",
)  # fmt: skip


def _name(body: Body, longest: int = 200) -> str:
    return (body.text("name", longest=longest) or "").strip()


def _named(body: Body, longest: int = 200) -> str:
    body.need("name")
    name = _name(body, longest)
    if not name:
        raise Invalid("string_too_short", body.at("name"), "String should have at least 1 character")
    return name


def common_fields(call: Call, model: Any) -> Fields:
    user = meaning_of_user(call)
    return {
        "id": Field("ident", "pk", meaning_of(call, model)),
        "nano_id": Field("text", NANO),
        "name": Field("text", "name"),
        "description": Field("text", "description"),
        "created_at": Field("time", "created_at"),
        "updated_at": Field("time", "updated_at"),
        "user_id": Field("ident", "owner_id", user),
        "owner_id": Field("ident", "owner_id", user),
        "owner/name": Field("text", "owner__name"),
    }


def in_project(call: Call) -> Fields:
    return {
        "project_id": Field("ident", "project_id", meaning_of(call, Project)),
        "project/name": Field("text", "project__name"),
    }


def _common_values(call: Call, body: Body) -> dict[str, Any]:
    values: dict[str, Any] = {}
    if "description" in body:
        values["description"] = body.text("description", longest=20_000)
    if body.sent("owner_id") and (owner := colleague(call, body, "owner_id")) is not None:
        values["owner"] = owner
    tags = tags_given(body)
    if tags is not None:
        values["tags"] = tags
    return values


# --- projects ---------------------------------------------------------------------------------------------------------


def project_fields(call: Call) -> Fields:
    is_active = Q(archived_at__isnull=True)
    return {
        **common_fields(call, Project),
        "icon": Field("text", "icon"),
        "slug": Field("text", "slug"),
        "is_active": Field("flag", _as_flag(is_active)),
    }


def _as_flag(condition: Q) -> Any:
    return Case(When(condition, then=Value(True)), default=Value(False), output_field=BooleanField())


def show_projects(call: Call, ids: Sequence[UUID]) -> list[Words]:
    rows = in_order(ids, Project.objects.filter(pk__in=ids).values(*PROJECT_COLUMNS))
    told = beside(call, rows)
    return [as_project(row, told) for row in rows]


def _one_project(call: Call, project: Project) -> Words:
    (words,) = show_projects(call, [project.pk])
    return words


def list_projects(call: Call) -> HttpResponseBase:
    return list_rows(call, visible(call, Project), project_fields(call), show_projects, PROJECT_KEYS)


def read_project(call: Call, ident: str) -> Words:
    return _one_project(call, find(call, Project, ident))


def _project_values(call: Call, body: Body) -> dict[str, Any]:
    values = _common_values(call, body)
    if "icon" in body:
        values["icon"] = body.text("icon", longest=80)
    if "attributes" in body:
        values["attributes"] = body.mapping("attributes")
    return values


def create_one_project(call: Call) -> Words:
    call.must("set_up")
    body = call.body()
    project = create_project(by=call.actor, name=_named(body), **_project_values(call, body))
    if body.flag("is_active") is False:
        archive(project, by=call.actor)
    return _one_project(call, project)


def change_one_project(call: Call, ident: str) -> Words:
    call.must("set_up")
    body = call.body()
    project = find(call, Project, ident)
    values = _project_values(call, body)
    if name := _name(body):
        values["name"] = name
    change_project(project, by=call.actor, **values)
    active = body.flag("is_active")
    if active is not None and active is not (project.archived_at is None):
        call.must("archive")
        (restore if active else archive)(project, by=call.actor)
    return _one_project(call, project)


def remove_project(call: Call, ident: str) -> Words:
    call.must("archive")
    project = find(call, Project, ident)
    words = _one_project(call, project)
    delete(project, by=call.actor)
    return words


# --- endpoints --------------------------------------------------------------------------------------------------------


def endpoint_fields(call: Call) -> Fields:
    return {
        **common_fields(call, Endpoint),
        **in_project(call),
        "connection_type": Field("text", "connection_type"),
        "url": Field("text", "url"),
        "method": Field("text", "method"),
        "environment": Field("text", "environment"),
        "response_format": Field("text", "response_format"),
        "auth_type": Field("text", "auth_type"),
        "timeout_seconds": Field("number", "timeout_seconds"),
    }


def show_endpoints(call: Call, ids: Sequence[UUID]) -> list[Words]:
    rows = in_order(ids, Endpoint.objects.filter(pk__in=ids).values(*ENDPOINT_COLUMNS))
    told = beside(call, rows)
    return [as_endpoint(row, told, _has_token(row["sealed_secrets"])) for row in rows]


def _has_token(sealed: Any) -> bool:
    return bool(sealed) and "auth_token" in open_sealed(bytes(sealed))


def one_endpoint(call: Call, endpoint: Endpoint) -> Words:
    (words,) = show_endpoints(call, [endpoint.pk])
    return words


def list_endpoints(call: Call) -> HttpResponseBase:
    rows = visible(call, Endpoint).filter(archived_at__isnull=True)
    return list_rows(call, rows, endpoint_fields(call), show_endpoints, ENDPOINT_KEYS)


def read_endpoint(call: Call, ident: str) -> Words:
    return one_endpoint(call, find(call, Endpoint, ident))


def _endpoint_values(call: Call, body: Body) -> dict[str, Any]:
    values = _common_values(call, body)
    choices = {
        "connection_type": Endpoint.Connection.values, "response_format": Endpoint.Format.values,
        "auth_type": [kind for kind in Endpoint.Auth.values if kind], "environment": Endpoint.Environment.values,
    }  # fmt: skip
    for key, known in choices.items():
        if key in body:
            values[key] = body.choice(key, known)
    for key, longest in {"url": 4000, "endpoint_path": 2000, "client_id": 300, "token_url": 4000}.items():
        if key in body:
            values[key] = (body.text(key, longest=longest) or "").strip()
    for key in ("url", "token_url"):
        if values.get(key):
            check_address(values[key])
    if "method" in body:
        values["method"] = (body.choice("method", ("GET", "POST", "PUT", "PATCH", "DELETE"))) or "POST"
    for key in ("request_headers", "query_params", "request_mapping", "response_mapping", "attributes"):
        if key in body:
            values[key] = body.mapping(key)
    if "scopes" in body:
        values["scopes"] = body.texts("scopes", longest=200)
    if "timeout_seconds" in body:
        values["timeout_seconds"] = body.whole("timeout_seconds", least=1, most=3600)
    return values


def _secrets(body: Body) -> dict[str, str]:
    """Only those that are sent: the others stay as they are."""
    keys = ("auth_token", "client_secret")
    return {key: body.text(key, longest=10_000) or "" for key in keys if key in body}


def create_one_endpoint(call: Call) -> Words:
    call.must("set_up")
    body = call.body()
    body.need("name", "connection_type")
    values = {"name": _named(body), **_endpoint_values(call, body)}
    if "auth_token" in body and "auth_type" not in values:
        values["auth_type"] = Endpoint.Auth.BEARER
    endpoint = create_endpoint(project_of(call, body), by=call.actor, **_secrets(body), **values)
    return one_endpoint(call, endpoint)


def change_one_endpoint(call: Call, ident: str) -> Words:
    call.must("set_up")
    body = call.body()
    endpoint = find(call, Endpoint, ident)
    values = _endpoint_values(call, body)
    if name := _name(body):
        values["name"] = name
    project = referred(call, body, "project_id", Project)
    if project is not None and project.pk != endpoint.project_id:
        raise Refusal("An endpoint stays in its project.", 409)
    change_endpoint(endpoint, by=call.actor, **_secrets(body), **values)
    return one_endpoint(call, endpoint)


def remove_endpoint(call: Call, ident: str) -> Words:
    call.must("archive")
    endpoint = find(call, Endpoint, ident)
    words = one_endpoint(call, endpoint)
    delete(endpoint, by=call.actor)
    return words


# --- test configurations ----------------------------------------------------------------------------------------------


def configuration_fields(call: Call) -> Fields:
    return {
        **common_fields(call, TestConfiguration),
        **in_project(call),
        "endpoint_id": Field("ident", "endpoint_id", meaning_of(call, Endpoint)),
        "endpoint/id": Field("ident", "endpoint_id", meaning_of(call, Endpoint)),
        "endpoint/name": Field("text", "endpoint__name"),
        "test_set_id": Field("ident", "test_set_id", meaning_of(call, TestSet)),
        "test_set/id": Field("ident", "test_set_id", meaning_of(call, TestSet)),
        "test_set/name": Field("text", "test_set__name"),
        "category_id": Field("ident", "category_id", meaning_of(call, Category)),
        "category/name": Field("text", "category__name"),
        "topic_id": Field("ident", "topic_id", meaning_of(call, Topic)),
        "topic/name": Field("text", "topic__name"),
        "prompt_id": Field("ident", "prompt_id", meaning_of(call, Prompt)),
        "prompt/content": Field("text", "prompt__content"),
        "status_id": Field("text", "status"),
    }


def show_configurations(call: Call, ids: Sequence[UUID]) -> list[Words]:
    rows = in_order(ids, TestConfiguration.objects.filter(pk__in=ids).values(*CONFIGURATION_COLUMNS))
    told = beside(call, rows)
    return [as_configuration(row, told) for row in rows]


def one_configuration(call: Call, configuration: TestConfiguration) -> Words:
    (words,) = show_configurations(call, [configuration.pk])
    return words


def list_configurations(call: Call) -> HttpResponseBase:
    rows = visible(call, TestConfiguration).filter(archived_at__isnull=True)
    return list_rows(call, rows, configuration_fields(call), show_configurations, CONFIGURATION_KEYS)


def read_configuration(call: Call, ident: str) -> Words:
    return one_configuration(call, find(call, TestConfiguration, ident))


def _configuration_values(call: Call, body: Body, before: dict[str, Any]) -> dict[str, Any]:
    values = _common_values(call, body)
    references = {"category": Category, "topic": Topic, "prompt": Prompt}
    for key, model in references.items():
        if body.sent(f"{key}_id"):
            values[key] = referred(call, body, f"{key}_id", model)
    if body.sent("test_set_id"):
        ident = body.ident("test_set_id")
        values["test_set"] = None if ident is None else find(call, TestSet, ident, status=400)
    parameters = body.mapping("attributes")
    use_case = body.ident("use_case_id")
    if parameters is not None or use_case is not None:
        kept = before if parameters is None else dict(parameters)
        if parameters is not None and use_case is None and "use_case_id" in before:
            kept.setdefault("use_case_id", before["use_case_id"])
        values["parameters"] = {**kept, **({"use_case_id": use_case} if use_case else {})}
    return {**values, **status_in(call, body, "TestConfiguration")}


def create_one_configuration(call: Call) -> Words:
    call.must("set_up", "record")
    body = call.body()
    endpoint = needed(call, body, "endpoint_id", Endpoint)
    values = _configuration_values(call, body, {})
    name = _name(body, 300) or configuration_name(endpoint, values.get("test_set"))
    configuration = create_configuration(endpoint.project, by=call.actor, name=name, endpoint=endpoint, **values)
    return one_configuration(call, configuration)


def configuration_name(endpoint: Endpoint, test_set: TestSet | None) -> str:
    return f"{test_set.name if test_set else 'Results'} on {endpoint.name}"[:300]


def change_one_configuration(call: Call, ident: str) -> Words:
    call.must("set_up", "record")
    body = call.body()
    configuration = find(call, TestConfiguration, ident)
    parameters = configuration.parameters if isinstance(configuration.parameters, dict) else {}
    values = _configuration_values(call, body, parameters)
    if (endpoint := referred(call, body, "endpoint_id", Endpoint)) is not None:
        values["endpoint"] = endpoint
    if name := _name(body, 300):
        values["name"] = name
    change_configuration(configuration, by=call.actor, **values)
    return one_configuration(call, configuration)


def remove_configuration(call: Call, ident: str) -> Words:
    call.must("archive", "record")
    configuration = find(call, TestConfiguration, ident)
    words = one_configuration(call, configuration)
    delete(configuration, by=call.actor)
    return words


# --- metrics ----------------------------------------------------------------------------------------------------------

KEPT: Final = {  # what has no column of ours, and how it is read
    "evaluation_steps": 50_000, "reasoning": 50_000, "evaluation_examples": 50_000, "explanation": 50_000,
    "metric_type": 80, "backend_type": 80, "class_name": 200,
}  # fmt: skip
OPERATORS: Final = tuple(Evaluator.Operator.values)


def metric_fields(call: Call) -> Fields:
    kept = {key: Field("text", _kept_text(key)) for key in ("class_name", "backend_type", "metric_type", "score_type")}
    return {
        **common_fields(call, Evaluator),
        **in_project(call),
        "threshold": Field("number", "threshold"),
        "threshold_operator": Field("text", "operator"),
        "min_score": Field("number", "min_score"),
        "max_score": Field("number", "max_score"),
        **kept,
    }


def _kept_text(key: str) -> Any:
    return KeyTextTransform(key, KeyTextTransform("rhesis", F("definition")))


def show_metrics(call: Call, ids: Sequence[UUID]) -> list[Words]:
    rows = in_order(ids, Evaluator.objects.filter(pk__in=ids).values(*EVALUATOR_COLUMNS))
    told = beside(call, rows)
    return [as_metric(row, told) for row in rows]


def one_metric(call: Call, evaluator: Evaluator) -> Words:
    (words,) = show_metrics(call, [evaluator.pk])
    return words


def list_metrics(call: Call) -> HttpResponseBase:
    """Those that are set up; what merely came with results is not on offer."""
    rows = visible(call, Evaluator).filter(archived_at__isnull=True, origin=Evaluator.Origin.OWN)
    return list_rows(call, rows, metric_fields(call), show_metrics, METRIC_KEYS)


def read_metric(call: Call, ident: str) -> Words:
    return one_metric(call, find(call, Evaluator, ident))


def _metric_values(call: Call, body: Body, before: Evaluator | None) -> dict[str, Any]:
    values = _common_values(call, body)
    definition = dict(before.definition) if before and isinstance(before.definition, dict) else {}
    kept: dict[str, Any] = dict(definition.get("rhesis") or {})
    for key, longest in KEPT.items():
        if key in body:
            kept[key] = body.name_in(key, longest=longest) if key.endswith("_type") else body.text(key, longest=longest)
    for key, older in {
        "ground_truth_required": "requires_ground_truth",
        "context_required": "requires_context",
    }.items():
        flag = body.flag(older) if body.flag(key) is None else body.flag(key)
        if flag is not None:
            kept[key] = flag
    if "metric_scope" in body:
        kept["metric_scope"] = body.texts("metric_scope", longest=80)
    score_type = body.choice("score_type", ("binary", "numeric", "categorical"))
    if score_type is not None:
        kept["score_type"] = score_type
    kind = kept.get("score_type") or "numeric"
    prompt = body.text("evaluation_prompt", longest=190_000)
    if prompt is not None:
        definition["evaluation_prompt"] = prompt
        if prompt.strip():
            values["who"] = Evaluator.Who.AI
    if definition.get("evaluation_prompt"):
        definition["prompt"] = judge_prompt(definition["evaluation_prompt"], kept)
    if kept:
        definition["rhesis"] = kept
    values["definition"] = definition
    for key in ("min_score", "max_score", "threshold"):
        if key in body:
            values[key] = body.number(key)
    operator = body.choice("threshold_operator", OPERATORS)
    if operator is not None:
        values["operator"] = operator
    values |= _scale(body, kind, before, values.get("operator"))
    return values


def _scale(body: Body, kind: str, before: Evaluator | None, operator: str | None) -> dict[str, Any]:
    """Value type and options; a label passes by its membership in ``passing_categories``."""
    if kind == "numeric":
        return (
            {"value_type": Evaluator.ValueType.NUMBER, "options": []} if before is None or "score_type" in body else {}
        )
    operator = operator or (before.operator if before else "=")
    if operator not in ("=", "!="):
        if "threshold_operator" in body:
            raise Refusal("Binary and categorical metrics are compared with = or != only.")
        operator = "="
    if kind == "binary":
        labels, passing = ["true", "false"], {"true"}
    else:
        if before is not None and "categories" not in body and "passing_categories" not in body:
            return {}
        kept = [str(option.get("label", "")) for option in before.options] if before else []
        labels = body.texts("categories", longest=200) or kept
        if not labels:
            raise Invalid("missing", body.at("categories"), "Field required")
        given = body.texts("passing_categories", longest=200) or [
            label for label in [body.text("reference_score")] if label
        ]
        passing = {label.strip().casefold() for label in given}
        unknown = passing - {label.strip().casefold() for label in labels}
        if unknown:
            raise Refusal(f"“{min(unknown)}” is none of the categories.")
    options = []
    for label in dict.fromkeys(labels):
        passes = (label.strip().casefold() in passing) is (operator == "=")
        options.append({"label": label, "value": 1 if passes else 0, "passes": passes})
    return {"value_type": Evaluator.ValueType.LABEL, "options": options, "operator": operator}


def judge_prompt(prompt: str, kept: dict[str, Any]) -> str:
    """What our judge is asked: Rhesis' parts in order, then the material, which Rhesis adds by itself."""
    titles = {"evaluation_steps": "Steps", "reasoning": "How to reason", "evaluation_examples": "Examples"}
    parts = [prompt, *(f"{title}:\n{kept[key]}" for key, title in titles.items() if kept.get(key))]
    text = "\n\n".join(parts)
    return text if "{{" in text else f"{text}\n\n{PROMPT}"


def create_metric(call: Call) -> Words:
    call.must("set_up")
    body = call.body()
    name = _named(body)
    project = referred(call, body, "project_id", Project) or call.project
    values = _metric_values(call, body, None)
    if values.get("threshold") is not None and "operator" not in values:
        values["operator"] = Evaluator.Operator.AT_LEAST
    return one_metric(call, create_evaluator(project, by=call.actor, name=name, **values))


def change_metric(call: Call, ident: str) -> Words:
    call.must("set_up")
    body = call.body()
    evaluator = find(call, Evaluator, ident)
    values = _metric_values(call, body, evaluator)
    if name := _name(body):
        values["name"] = name
    change_evaluator(evaluator, by=call.actor, **values)
    return one_metric(call, evaluator)


def remove_metric(call: Call, ident: str) -> Words:
    call.must("archive")
    evaluator = find(call, Evaluator, ident)
    words = one_metric(call, evaluator)
    delete(evaluator, by=call.actor)
    return words


# --- metrics of test sets and requirements ----------------------------------------------------------------------------


def metrics_of_set(call: Call, ident: str) -> list[Words]:
    return _metrics_of_set(call, find_test_set(call, ident))


def _metrics_of_set(call: Call, test_set: TestSet) -> list[Words]:
    rows = TestSetEvaluator.objects.filter(test_set=test_set, evaluator__deleted_at__isnull=True)
    ids = list(rows.order_by("evaluator__name").values_list("evaluator_id", flat=True))
    return show_metrics(call, ids)


def add_metric_to_set(call: Call, ident: str, metric: str) -> list[Words]:
    call.must("set_up")
    test_set = find_test_set(call, ident)
    evaluator = find(call, Evaluator, metric)
    _, added = TestSetEvaluator.objects.get_or_create(test_set=test_set, evaluator=evaluator)
    if added:
        record_event("testset.evaluator_added", test_set, by=call.actor, evaluator=str(evaluator.pk))
    return _metrics_of_set(call, test_set)


def remove_metric_from_set(call: Call, ident: str, metric: str) -> list[Words]:
    call.must("set_up")
    test_set = find_test_set(call, ident)
    evaluator = find(call, Evaluator, metric)
    removed, _ = TestSetEvaluator.objects.filter(test_set=test_set, evaluator=evaluator).delete()
    if removed:
        record_event("testset.evaluator_removed", test_set, by=call.actor, evaluator=str(evaluator.pk))
    return _metrics_of_set(call, test_set)


def metrics_of_requirement(call: Call, ident: str) -> list[Words]:
    return _metrics_of_requirement(call, find(call, Requirement, ident))


def _metrics_of_requirement(call: Call, requirement: Requirement) -> list[Words]:
    rows = visible(call, Evaluator).filter(requirements=requirement).order_by("name")
    return show_metrics(call, list(rows.values_list("pk", flat=True)))


def add_metric_to_requirement(call: Call, ident: str, metric: str) -> list[Words]:
    call.must("set_up")
    requirement = find(call, Requirement, ident)
    evaluator = find(call, Evaluator, metric)
    evaluator.requirements.add(requirement)
    record_event("requirement.evaluator_added", requirement, by=call.actor, evaluator=str(evaluator.pk))
    return _metrics_of_requirement(call, requirement)


def remove_metric_from_requirement(call: Call, ident: str, metric: str) -> list[Words]:
    call.must("set_up")
    requirement = find(call, Requirement, ident)
    evaluator = find(call, Evaluator, metric)
    evaluator.requirements.remove(requirement)
    record_event("requirement.evaluator_removed", requirement, by=call.actor, evaluator=str(evaluator.pk))
    return _metrics_of_requirement(call, requirement)
