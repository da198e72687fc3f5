"""Rhesis' words for our rows: its tests are our cases, its metrics our evaluators, its test runs and results ours.

Every function takes plain rows (dicts of column values) and gives what the SDK's JSON says; nothing here asks the
database. Ids are the sender's own where it chose one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from evalhub.compat.rhesis.statuses import OF_PEOPLE, RESULT, RUN, TASK, result_code, status_shown, value_id
from results.models import Evaluation
from results.models.results import text_of
from runs.models import Evaluator, TestSet

Row = Mapping[str, Any]
Words = dict[str, Any]

PERSON: Final = ("id", "name", "email")
TAGGED: Final = ("id", "external_id", "created_at", "updated_at", "organization_id")


def columns(*names: str, **related: Sequence[str]) -> tuple[str, ...]:
    """Names of columns; ``owner=("id", "name")`` adds those of what is related."""
    return (*names, *(f"{path}__{name}" for path, inner in related.items() for name in inner))


REFERENCE: Final = ("id", "external_id")
NAMED: Final = (*REFERENCE, "name")

PROJECT_COLUMNS = (*TAGGED, "archived_at", "name", "description", "icon", "owner_id", "tags", "attributes")
ENDPOINT_COLUMNS = columns(
    *TAGGED, "archived_at", "name", "description", "connection_type", "url", "method", "endpoint_path",
    "request_headers", "query_params", "request_mapping", "response_mapping", "response_format", "auth_type",
    "client_id", "token_url", "scopes", "sealed_secrets", "environment", "timeout_seconds", "owner_id", "tags",
    "attributes", project=NAMED,
)  # fmt: skip
CONFIGURATION_COLUMNS = columns(
    *TAGGED, "name", "description", "parameters", "status", "owner_id", "tags", project=NAMED,
    endpoint=NAMED, test_set=(*NAMED, "kind"), category=REFERENCE, topic=REFERENCE, prompt=REFERENCE,
)  # fmt: skip
RUN_COLUMNS = columns(
    *TAGGED, "name", "number", "status", "owner_id", "assignee_id", "attributes", "tags", "started_at", "finished_at",
    "planned_count", "result_count", "passed", "failed", "errors", "unjudged", "reviewed", "error",
    created_by=PERSON, project=NAMED, configuration=(*REFERENCE, "parameters"), configuration__endpoint=NAMED,
    configuration__endpoint__project=NAMED, configuration__test_set=(*NAMED, "kind"), reference=REFERENCE,
)  # fmt: skip
RESULT_COLUMNS = columns(
    *TAGGED, "inputs", "expected", "output", "conversation", "error", "error_code", "outcome", "machine_outcome",
    "review_count", "latency_ms", "session_id", "tags", "attributes", "case_id", "run_id", "position",
    run=(*NAMED, "kind", "created_by_id"), run__project=REFERENCE, run__configuration=(*REFERENCE, "endpoint_id"),
    run__configuration__test_set=REFERENCE,
)  # fmt: skip
CONTEXT_COLUMNS = columns(
    "id", "external_id", "case_id", run=(*NAMED, "kind"), run__project=REFERENCE,
    run__configuration__test_set=REFERENCE,
)  # fmt: skip
CASE_COLUMNS = columns(
    *TAGGED, "name", "number", "kind", "inputs", "expected", "plan", "priority", "status", "owner_id", "assignee_id",
    "tags", "attributes", project=REFERENCE, prompt=(*REFERENCE, "content", "expected_response", "language_code"),
    category=NAMED, topic=NAMED, requirement=(*NAMED, "description"),
)  # fmt: skip
TEST_SET_COLUMNS = columns(
    *TAGGED, "name", "slug", "description", "short_description", "kind", "status", "owner_id", "tags", "attributes",
    "revision", project=REFERENCE,
)  # fmt: skip
EVALUATOR_COLUMNS = columns(
    *TAGGED, "name", "description", "who", "value_type", "options", "threshold", "operator", "min_score", "max_score",
    "definition", "owner_id", "tags", project=REFERENCE,
)  # fmt: skip
EVALUATION_COLUMNS = columns(
    "id", "created_at", "updated_at", "organization_id", "result_id", "turn", "source", "author_name", "is_current",
    "state", "value", "label", "passed", "effective", "threshold", "explanation", "error", "latency_ms", "via",
    "metadata", "resolved_at", "withdrawn_at", author=PERSON, resolved_by=PERSON,
    evaluator=(*NAMED, "description", "who", "value_type", "definition"),
)  # fmt: skip
VERDICT_COLUMNS = columns(
    "id", "created_at", "updated_at", "organization_id", "case_id", "passed", "comment", "metadata", "resolved_at",
    author=PERSON, resolved_by=PERSON, case=REFERENCE, case__project=REFERENCE, case__requirement=NAMED,
)  # fmt: skip
WORD_COLUMNS = (*TAGGED, "name", "description")
PROMPT_COLUMNS = (*TAGGED, "content", "language_code", "expected_response")
TASK_COLUMNS = columns(
    *TAGGED, "title", "description", "status", "priority", "entity_type", "entity_id", "completed_at", "metadata",
    created_by=PERSON, assignee=PERSON,
)  # fmt: skip
COMMENT_COLUMNS = columns(*TAGGED, "entity_type", "entity_id", "text", "turn", "emojis", "edited_at", author=PERSON)
FILE_COLUMNS = (
    *TAGGED, "filename", "content_type", "size", "position", "entity_type", "entity_id", "created_by_id",
)  # fmt: skip
TAG_COLUMNS = (*TAGGED, "name", "icon")
USER_COLUMNS = ("id", "created_at", "updated_at", "name", "email", "is_active")


# --- parts ------------------------------------------------------------------------------------------------------------


def nano_id(pk: UUID) -> str:
    """A short handle: the random end of the id."""
    return pk.hex[-12:]


def own_id(row: Row) -> str:
    return row["external_id"] or str(row["id"])


def reference(row: Row, path: str) -> str | None:
    """The id of what a row points at."""
    pk = row[f"{path}__id"]
    return None if pk is None else row[f"{path}__external_id"] or str(pk)


def named(row: Row, path: str, **more: Any) -> Words | None:
    ident = reference(row, path)
    return None if ident is None else {"id": ident, "name": row[f"{path}__name"], **more}


def text_id(pk: UUID | None) -> str | None:
    return None if pk is None else str(pk)


def person(row: Row, path: str) -> Words | None:
    pk = row[f"{path}__id"]
    return None if pk is None else _person(str(pk), row[f"{path}__name"], row[f"{path}__email"])


def _person(ident: str | None, name: str, email: str | None) -> Words:
    return {"id": ident, "name": name, "given_name": None, "family_name": None, "email": email}


def shared(row: Row, *, user: UUID | None, project: str | None = None) -> Words:
    """What every row begins with."""
    return {
        "id": own_id(row),
        "nano_id": nano_id(row["id"]),
        "created_at": row["created_at"],
        "updated_at": row["updated_at"],
        "organization_id": str(row["organization_id"]),
        "user_id": text_id(user),
        "project_id": project,
    }


@dataclass(slots=True)
class Beside:
    """What is told with rows, and is kept in other tables."""

    tags: Mapping[str, Words] = field(default_factory=dict)
    own_statuses: dict[str, str] = field(default_factory=dict)
    comments: Mapping[UUID, int] = field(default_factory=dict)
    tasks: Mapping[UUID, int] = field(default_factory=dict)

    def tags_of(self, row: Row) -> list[Words]:
        return [self.tags.get(name) or tag_without_row(name) for name in row["tags"]]

    def status(self, row: Row, entity: str) -> Words:
        found = status_shown(row["status"], entity, self.own_statuses)
        return {"status_id": found["id"] if found else None, "status": found}

    def counts(self, row: Row, **more: int) -> dict[str, int]:
        return {"comments": self.comments.get(row["id"], 0), "tasks": self.tasks.get(row["id"], 0), **more}


def tag_without_row(name: str) -> Words:
    return {"id": name, "name": name, "icon_unicode": None}


# --- what is set up ---------------------------------------------------------------------------------------------------


def as_project(row: Row, beside: Beside) -> Words:
    active = row["archived_at"] is None
    return {
        **shared(row, user=row["owner_id"], project=own_id(row)),
        "name": row["name"],
        "description": row["description"] or None,
        "icon": row["icon"] or None,
        "is_active": active,
        "status_id": "active" if active else "inactive",
        "owner_id": text_id(row["owner_id"]),
        "attributes": row["attributes"],
        "tags": beside.tags_of(row),
    }


def as_endpoint(row: Row, beside: Beside, has_auth_token: bool) -> Words:
    """Without its secrets: only whether there are some."""
    active = row["archived_at"] is None
    return {
        **shared(row, user=row["owner_id"], project=reference(row, "project")),
        "name": row["name"],
        "description": row["description"] or None,
        "connection_type": row["connection_type"],
        "url": row["url"] or None,
        "method": row["method"] or None,
        "endpoint_path": row["endpoint_path"] or None,
        "request_headers": texts_in(row["request_headers"]),
        "query_params": row["query_params"],
        "request_mapping": row["request_mapping"],
        "response_mapping": texts_in(row["response_mapping"]),
        "response_format": row["response_format"],
        "auth_type": row["auth_type"] or None,
        "client_id": row["client_id"] or None,
        "token_url": row["token_url"] or None,
        "scopes": row["scopes"],
        "has_auth_token": has_auth_token,
        "environment": row["environment"],
        "timeout_seconds": row["timeout_seconds"],
        "owner_id": text_id(row["owner_id"]),
        "status_id": "active" if active else "inactive",
        "status": {"id": "active", "name": "Active"} if active else {"id": "inactive", "name": "Inactive"},
        "project": named(row, "project"),
        "attributes": row["attributes"],
        "tags": beside.tags_of(row),
    }


def texts_in(value: Any) -> dict[str, str]:
    """A mapping whose values the SDK wants as texts."""
    if not isinstance(value, dict):
        return {}
    return {str(key): item if isinstance(item, str) else text_of(item) for key, item in value.items()}


def as_configuration(row: Row, beside: Beside) -> Words:
    parameters = row["parameters"] if isinstance(row["parameters"], dict) else {}
    return {
        **shared(row, user=row["owner_id"], project=reference(row, "project")),
        "name": row["name"],
        "description": row["description"] or None,
        "endpoint_id": reference(row, "endpoint"),
        "test_set_id": reference(row, "test_set"),
        "category_id": reference(row, "category"),
        "topic_id": reference(row, "topic"),
        "prompt_id": reference(row, "prompt"),
        "use_case_id": parameters.get("use_case_id"),
        **beside.status(row, "TestConfiguration"),
        "attributes": parameters,
        "endpoint": named(row, "endpoint"),
        "test_set": named(row, "test_set", test_set_type=row["test_set__kind"]),
        "tags": beside.tags_of(row),
    }


def kept_words(definition: Mapping[str, Any]) -> Words:
    """What the SDK said of a metric that has no column of ours."""
    kept = definition.get("rhesis")
    return kept if isinstance(kept, dict) else {}


def as_metric(row: Row, beside: Beside) -> Words:
    definition = row["definition"] if isinstance(row["definition"], dict) else {}
    kept = kept_words(definition)
    labels = [option for option in row["options"] or () if isinstance(option, dict)]
    is_label = row["value_type"] == Evaluator.ValueType.LABEL
    score_type = kept.get("score_type") or ("categorical" if is_label else "numeric")
    categories = [str(option.get("label", "")) for option in labels]
    passing = [str(option.get("label", "")) for option in labels if option.get("passes")]
    is_categorical = score_type == "categorical"
    share = row["value_type"] == Evaluator.ValueType.PERCENTAGE
    return {
        **shared(row, user=row["owner_id"], project=reference(row, "project")),
        "name": row["name"],
        "description": row["description"] or None,
        "evaluation_prompt": definition.get("evaluation_prompt") or definition.get("prompt") or "",
        "evaluation_steps": kept.get("evaluation_steps"),
        "reasoning": kept.get("reasoning"),
        "evaluation_examples": kept.get("evaluation_examples"),
        "score_type": score_type,
        "min_score": 0.0 if share and row["min_score"] is None else row["min_score"],
        "max_score": 1.0 if share and row["max_score"] is None else row["max_score"],
        "threshold": None if is_label else row["threshold"],
        "threshold_operator": "=" if is_label and row["operator"] not in ("=", "!=") else row["operator"],
        "reference_score": passing[0] if is_categorical and passing else None,
        "categories": categories if is_categorical else None,
        "passing_categories": passing if is_categorical else None,
        "metric_scope": kept.get("metric_scope") or ["Single-Turn", "Multi-Turn"],
        "metric_type": kept.get("metric_type") or ("custom-prompt" if row["who"] == "ai" else "framework"),
        "backend_type": kept.get("backend_type") or "custom",
        "class_name": kept.get("class_name") or CLASSES.get(score_type)
        if row["who"] == "ai"
        else kept.get("class_name"),
        "ground_truth_required": kept.get("ground_truth_required", False),
        "context_required": kept.get("context_required", False),
        "explanation": kept.get("explanation"),
        "model_id": None,
        "owner_id": text_id(row["owner_id"]),
        "tags": beside.tags_of(row),
    }


CLASSES: Final = {"numeric": "NumericJudge", "categorical": "CategoricalJudge", "binary": "BinaryJudge"}


# --- what is asked ----------------------------------------------------------------------------------------------------


def as_prompt(row: Row) -> Words:
    return {
        **shared(row, user=None),
        "content": row["content"],
        "language_code": row["language_code"] or "en",
        "expected_response": row["expected_response"],
    }


def as_word(row: Row) -> Words:
    """A category, topic or requirement; the SDK wants the description as a text."""
    return {**shared(row, user=None), "name": row["name"], "description": row["description"]}


def prompt_of(row: Row) -> Words | None:
    """A case's prompt: the row that it has, else what its inputs say."""
    ident = reference(row, "prompt")
    if ident is None and (row["plan"] or {}).get("goal"):
        return None  # a conversation has a plan instead
    if ident is not None:
        return {
            "id": ident,
            "content": row["prompt__content"],
            "language_code": row["prompt__language_code"] or "en",
            "expected_response": row["prompt__expected_response"],
        }
    content = text_of(row["inputs"])
    if not content:
        return None
    expected = None if row["expected"] is None else text_of(row["expected"])
    return {"id": None, "content": content, "language_code": "en", "expected_response": expected}


def as_test(row: Row, beside: Beside) -> Words:
    """A case. Its words are plain texts, which every release reads."""
    attributes = dict(row["attributes"]) if isinstance(row["attributes"], dict) else {}
    parameters = attributes.pop("test_parameters", None)
    plan = row["plan"] if isinstance(row["plan"], dict) and row["plan"].get("goal") else None
    return {
        **shared(row, user=row["owner_id"], project=reference(row, "project")),
        "name": row["name"] or None,
        "number": row["number"],
        "prompt_id": reference(row, "prompt"),
        "prompt": prompt_of(row),
        "category": row["category__name"],
        "category_id": reference(row, "category"),
        "topic": row["topic__name"],
        "topic_id": reference(row, "topic"),
        "requirement": row["requirement__name"],
        "requirement_id": reference(row, "requirement"),
        "behavior": row["requirement__name"],
        "behavior_id": reference(row, "requirement"),
        "test_type": row["kind"],
        "test_type_id": value_id("TestType", row["kind"]),
        "test_configuration": plan,
        "test_metadata": attributes,
        "metadata": attributes,
        "test_parameters": parameters if isinstance(parameters, dict) else None,
        "priority": row["priority"],
        "owner_id": text_id(row["owner_id"]),
        "assignee_id": text_id(row["assignee_id"]),
        **beside.status(row, "Test"),
        "counts": beside.counts(row),
        "tags": beside.tags_of(row),
    }


@dataclass(slots=True)
class Contents:
    """What a test set's live cases are, in short."""

    count: int = 0
    categories: set[str] = field(default_factory=set)
    topics: set[str] = field(default_factory=set)
    requirements: set[str] = field(default_factory=set)


def as_test_set(row: Row, beside: Beside, contents: Contents) -> Words:
    return {
        **shared(row, user=row["owner_id"], project=reference(row, "project")),
        "name": row["name"],
        "slug": row["slug"] or None,
        "description": row["description"],
        "short_description": row["short_description"],
        "test_set_type": row["kind"],
        "test_set_type_id": value_id("TestSetType", row["kind"]),
        "test_count": contents.count,
        "categories": sorted(contents.categories),
        "topics": sorted(contents.topics),
        "requirements": sorted(contents.requirements),
        "behaviors": sorted(contents.requirements),
        "metadata": row["attributes"],
        "attributes": {
            "metadata": {
                **row["attributes"],
                "total_tests": contents.count,
                "categories": sorted(contents.categories),
                "topics": sorted(contents.topics),
                "requirements": sorted(contents.requirements),
            }
        },
        "revision": row["revision"],
        "owner_id": text_id(row["owner_id"]),
        "assignee_id": None,
        **beside.status(row, "TestSet"),
        "counts": beside.counts(row),
        "tags": beside.tags_of(row),
    }


# --- runs -------------------------------------------------------------------------------------------------------------

COMPUTED_ATTRIBUTES: Final = ("task_state", "total_tests", "started_at", "completed_at")


def as_test_run(row: Row, beside: Beside, corrected: int) -> Words:
    status = RUN[row["status"]]
    endpoint = named(row, "configuration__endpoint", project=named(row, "configuration__endpoint__project"))
    test_set = named(row, "configuration__test_set", test_set_type=row["configuration__test_set__kind"])
    configuration_id = reference(row, "configuration") if endpoint else None
    parameters = row["configuration__parameters"] if isinstance(row["configuration__parameters"], dict) else {}
    return {
        **shared(row, user=row["created_by__id"], project=reference(row, "project")),
        "name": row["name"],
        "test_configuration_id": configuration_id,
        "status_id": status.code,
        "status": status.wire,
        "owner_id": text_id(row["owner_id"]),
        "assignee_id": text_id(row["assignee_id"]),
        "attributes": {
            **(row["attributes"] if isinstance(row["attributes"], dict) else {}),
            **({"reference_test_run_id": reference(row, "reference")} if row["reference__id"] else {}),
            "task_state": status.name,
            "total_tests": row["planned_count"] or row["result_count"],
            "started_at": row["started_at"],
            "completed_at": row["finished_at"],
            **({"error": row["error"]} if row["error"] else {}),
        },
        "user": person(row, "created_by"),
        "test_configuration": {
            "id": configuration_id,
            "attributes": parameters,
            "endpoint_id": endpoint["id"] if endpoint else None,
            "test_set_id": test_set["id"] if test_set else None,
            "endpoint": endpoint,
            "test_set": test_set,
        }
        if configuration_id
        else None,
        "stats": {
            "total": row["result_count"],
            "passed": row["passed"],
            "failed": row["failed"],
            "errors": row["errors"] + row["unjudged"],
        },
        "counts": beside.counts(row, reviewed_tests=row["reviewed"], corrected_tests=corrected),
        "tags": beside.tags_of(row),
    }


# --- judgements -------------------------------------------------------------------------------------------------------


def is_spoken(row: Row) -> bool:
    """A person's judgement that counts, or did until its own author said something newer through this door."""
    return (
        row["source"] == Evaluation.Source.HUMAN
        and row["state"] != Evaluation.State.PENDING
        and row["withdrawn_at"] is None
        and (row["is_current"] or row["via"] == "rhesis")
    )


def target_of(row: Row) -> tuple[str, str | None]:
    if row["evaluator__id"] is not None:
        return "metric", row["evaluator__name"]
    if row["turn"] is not None:
        return "turn", f"Turn {row['turn']}"
    return "test_result", None


def verdict_of(row: Row) -> Words:
    status = OF_PEOPLE[row["passed"]]
    return {"status_id": status.code, "name": status.name}


def author_of(row: Row) -> Words:
    """Who judged: a colleague, or a person of an imported file."""
    return {"user_id": text_id(row["author__id"]), "name": row["author__name"] or row["author_name"]}


def as_review(row: Row) -> Words:
    kind, name = target_of(row)
    resolver = row["resolved_by__id"]
    return {
        "review_id": str(row["id"]),
        "status": verdict_of(row),
        "user": author_of(row),
        "comments": row["explanation"],
        "target": {"type": kind, "reference": name},
        "created_at": row["created_at"],
        "updated_at": row["updated_at"],
        "resolved": row["resolved_at"] is not None,
        "resolved_at": row["resolved_at"],
        "resolved_by": {"user_id": str(resolver), "name": row["resolved_by__name"]} if resolver else None,
    }


def as_annotation(row: Row, entity_id: str, context: Words | None, *, entity_type: str = "TestResult") -> Words:
    """The same as an annotation; ``row`` may be a case's verdict too, which has neither turn nor evaluator."""
    kind, name = target_of(row) if entity_type == "TestResult" else ("test", None)
    status = OF_PEOPLE[row["passed"]]
    return {
        "id": str(row["id"]),
        "nano_id": nano_id(row["id"]),
        "entity_type": entity_type,
        "entity_id": entity_id,
        "target_type": kind,
        "target_reference": name,
        "status_id": status.code,
        "status": status.wire,
        "comments": row["explanation"],
        "resolved": row["resolved_at"] is not None,
        "resolved_at": row["resolved_at"],
        "resolved_by_id": text_id(row["resolved_by__id"]),
        "resolved_by": person(row, "resolved_by"),
        "user_id": text_id(row["author__id"]),
        "user": person(row, "author") or (_person(None, row["author_name"], None) if row["author_name"] else None),
        "attributes": kept_metadata(row["metadata"]),
        "organization_id": str(row["organization_id"]),
        "created_at": row["created_at"],
        "updated_at": row["updated_at"],
        "context": context,
    }


def as_test_annotation(row: Row) -> Words:
    """A verdict on a case itself."""
    of_case = {**row, "explanation": row["comment"], "author_name": "", "evaluator__id": None, "turn": None}
    context = {
        "project_id": reference(row, "case__project"),
        "requirement_id": reference(row, "case__requirement"),
        "requirement_name": row["case__requirement__name"],
    }
    return as_annotation(of_case, str(reference(row, "case")), context, entity_type="Test")


def kept_metadata(metadata: Any) -> Words:
    return metadata["attributes"] if isinstance(metadata, dict) and isinstance(metadata.get("attributes"), dict) else {}


def newest(rows: Iterable[Row]) -> Row | None:
    return max(rows, key=lambda row: (row["created_at"], row["id"]), default=None)


class Reviewed:
    """What people said of one result, in both generations' words."""

    def __init__(self, rows: Sequence[Row], automated: str, result_id: str, context: Words) -> None:
        spoken = sorted((row for row in rows if is_spoken(row)), key=lambda row: (row["created_at"], row["id"]))
        self.spoken = spoken
        self.counting = [row for row in spoken if row["is_current"]]
        self.was_reviewed = bool(spoken) or any(row["source"] == "human" and row["withdrawn_at"] for row in rows)
        self.automated, self.result_id, self.context = automated, result_id, context
        self.last = newest(row for row in self.counting if target_of(row)[0] == "test_result")

    def words(self) -> Words:
        last = self.last
        matches = last is not None and OF_PEOPLE[last["passed"]].code == self.automated
        summary = self._summary()
        return {
            "test_reviews": self._reviews(),
            "last_review": as_review(last) if last else None,
            "matches_review": matches,
            "review_summary": summary,
            "last_annotation": as_annotation(last, self.result_id, self.context) if last else None,
            "matches_annotation": matches,
            "annotation_summary": summary,
        }

    def _reviews(self) -> Words:
        if not self.was_reviewed:
            return {"metadata": {}, "reviews": []}
        last = newest(self.spoken)
        author = author_of(last) if last else None
        return {
            "metadata": {
                "last_updated_at": last["updated_at"] if last else None,
                "last_updated_by": author,
                "total_reviews": len(self.spoken),
                "latest_status": verdict_of(last) if last else None,
                "summary": f"Last updated by {author['name']}" if author else None,
                "original_status_id": self.automated,
            },
            "reviews": [as_review(row) for row in self.spoken],
        }

    def _summary(self) -> Words | None:
        """The newest of each target."""
        found: dict[str, Row] = {}
        for row in self.counting:  # oldest first
            kind, name = target_of(row)
            found[kind if name is None else f"{kind}:{name}"] = row
        if not found:
            return None
        return {
            key: {
                "target_type": target_of(row)[0],
                "reference": target_of(row)[1],
                "status": verdict_of(row),
                "user": author_of(row),
                "comments": row["explanation"],
                "review_id": str(row["id"]),
                "annotation_id": str(row["id"]),
                "updated_at": row["updated_at"],
            }
            for key, row in found.items()
        }


def metrics_of(rows: Sequence[Row], reviewed: Reviewed) -> Words:
    """{name: {score, is_successful, ...}} of the machine's current judgements of the whole result."""
    found: Words = {}
    for row in sorted(rows, key=lambda row: (row["evaluator__name"] or "", row["created_at"], row["id"])):
        is_machine = row["source"] == Evaluation.Source.MACHINE and row["is_current"]
        if not is_machine or row["turn"] is not None or row["evaluator__id"] is None:
            continue
        name = str(row["evaluator__name"])
        key, n = name, 1
        while key in found:
            n += 1
            key = f"{name} ({n})"
        found[key] = _metric(row, name, reviewed)
    return found


def _metric(row: Row, name: str, reviewed: Reviewed) -> Words:
    sent = row["metadata"].get("metric") if isinstance(row["metadata"], dict) else None
    sent = sent if isinstance(sent, dict) else {}
    definition = row["evaluator__definition"] if isinstance(row["evaluator__definition"], dict) else {}
    kept = kept_words(definition)
    is_label = row["evaluator__value_type"] == Evaluator.ValueType.LABEL or row["value"] is None
    words: Words = {
        "score": sent["score"] if "score" in sent else row["label"] if is_label else row["value"],
        "threshold": row["threshold"],
        "is_successful": row["effective"],
        "reason": row["explanation"] or row["error"] or None,
        "backend": kept.get("backend_type") or ("evalhub" if row["via"] != "rhesis" else "custom"),
        "name": name,
        "class_name": kept.get("class_name"),
        "description": row["evaluator__description"],
        "duration_ms": row["latency_ms"],
    }
    if row["state"] == Evaluation.State.ERROR:
        words |= {"error": row["error"] or "The evaluation failed.", "error_type": "EvaluationError"}
    words |= {key: value for key, value in sent.items() if key not in ("score", "override")}
    words["is_successful"] = row["effective"]
    correction = newest(
        one
        for one in reviewed.counting
        if one["evaluator__id"] == row["evaluator__id"] and one["turn"] is None and one["passed"] is row["effective"]
    )
    if row["effective"] is not row["passed"] and correction is not None:
        words["override"] = _override(row["passed"], correction)
    return words


def _override(original: Any, correction: Row) -> Words:
    return {
        "original_value": original,
        "review_id": str(correction["id"]),
        "overridden_by": author_of(correction)["user_id"] or author_of(correction)["name"],
        "overridden_at": correction["created_at"],
    }


def output_of(row: Row, case: Row | None, reviewed: Reviewed) -> Words | None:
    """What came back, with the text under ``output`` whatever its sender calls it, and people's word on turns."""
    output = row["output"]
    if output is None and not row["conversation"] and not row["error"]:
        return None
    words: Words = dict(output) if isinstance(output, dict) else {} if output is None else {"output": output}
    if words and "output" not in words and "conversation_summary" not in words:
        words["output"] = text_of(output)
    if "output" in words and words["output"] is not None and not isinstance(words["output"], str):
        words["output"] = text_of(words["output"])
    if row["session_id"]:
        words.setdefault("session_id", row["session_id"])
    if row["error"]:
        words.setdefault("output", None)
        words["error"] = row["error"]
        if row["error_code"]:
            words["error_code"] = row["error_code"]
    turns = words.get("conversation_summary")
    if not isinstance(turns, list) and row["conversation"]:
        turns = [_turn(turn, row["session_id"]) for turn in row["conversation"] if isinstance(turn, dict)]
        words |= _of_conversation(row, case, words, len(turns))
    if isinstance(turns, list):
        words["conversation_summary"] = _turns_with_verdicts(turns, reviewed)
    return words


def _of_conversation(row: Row, case: Row | None, words: Words, turns: int) -> Words:
    """What Rhesis tells of a conversation that our workers or importers kept."""
    plan = case["plan"] if case and isinstance(case["plan"], dict) else {}
    achieved = words.get("goal_achieved", {"passed": True, "failed": False}.get(row["outcome"]))
    status = {True: "success", False: "failure", None: "error"}[achieved if isinstance(achieved, bool) else None]
    if row["error"] or row["error_code"]:
        status = "timeout" if "timeout" in row["error_code"] else "error"
    return {
        "goal": words.get("goal") or plan.get("goal"),
        "goal_achieved": achieved,
        "goal_evaluation": words.get("goal_evaluation"),
        "turns_used": turns,
        "stats": {"total_turns": turns},
        "status": status,
        "test_configuration": plan or None,
    }


def _turn(turn: Row, session_id: str) -> Words:
    """One turn as our workers and importers keep it."""
    messages = [message for message in turn.get("messages") or () if isinstance(message, dict)]
    said = {message.get("role"): message.get("content") for message in messages}
    return {
        "turn": turn.get("turn"),
        "timestamp": turn.get("timestamp"),
        "penelope_reasoning": None,
        "penelope_message": said.get("user"),
        "target_response": said.get("assistant"),
        "session_id": session_id or None,
        "success": turn.get("success", True),
        "context": [],
        "tool_calls": [call for message in messages for call in message.get("tool_calls") or ()],
        "metadata": {},
    }


def _turns_with_verdicts(turns: Sequence[Any], reviewed: Reviewed) -> list[Any]:
    said: list[Any] = []
    for position, turn in enumerate(turns, 1):
        number = turn.get("turn", position) if isinstance(turn, dict) else position
        verdict = newest(
            row
            for row in reviewed.counting
            if row["turn"] == number and row["evaluator__id"] is None and row["passed"] is not None
        )
        if isinstance(turn, dict) and verdict is not None:
            original = turn.get("success")
            turn = {**turn, "success": verdict["passed"]}
            if original is not verdict["passed"]:
                turn["override"] = _override(original, verdict)
        said.append(turn)
    return said


def as_test_result(row: Row, judgements: Sequence[Row], case: Row | None, beside: Beside) -> Words:
    code = result_code(row["outcome"], row["attributes"])
    ident = own_id(row)
    is_hidden = row["run__kind"] != "test"
    attributes = row["attributes"] if isinstance(row["attributes"], dict) else {}
    context = context_of(row, case)
    automated = result_code(row["machine_outcome"], row["attributes"])
    reviewed = Reviewed(judgements, automated, ident, context)
    endpoint = row["run__configuration__endpoint_id"]
    return {
        **shared(row, user=row["run__created_by_id"], project=reference(row, "run__project")),
        "test_run_id": None if is_hidden else reference(row, "run"),
        "test_configuration_id": reference(row, "run__configuration") if endpoint else None,
        "test_id": own_id(case) if case else None,
        "prompt_id": (reference(case, "prompt") if case else None) or attributes.get("prompt_id"),
        "status_id": code,
        "status": RESULT[code].wire,
        "test_output": output_of(row, case, reviewed),
        "test_metrics": {"execution_time": row["latency_ms"], "metrics": metrics_of(judgements, reviewed)},
        **reviewed.words(),
        "test": None
        if case is None
        else {
            "id": own_id(case),
            "prompt": prompt_of(case),
            "category": named(case, "category"),
            "topic": named(case, "topic"),
            "requirement": named(case, "requirement"),
            "behavior": named(case, "requirement"),
            "test_type": case["kind"],
            "test_configuration": case["plan"],
        },
        "test_run": None if is_hidden else {"id": reference(row, "run"), "name": row["run__name"]},
        "tags": beside.tags_of(row),
        "counts": beside.counts(row),
    }


def context_of(row: Row, case: Row | None) -> Words:
    """Where an annotated result sits."""
    is_hidden = row["run__kind"] != "test"
    return {
        "project_id": reference(row, "run__project"),
        "test_run_id": None if is_hidden else reference(row, "run"),
        "test_run_name": None if is_hidden else row["run__name"],
        "test_set_id": reference(row, "run__configuration__test_set"),
        "test_result_id": own_id(row),
        "requirement_id": reference(case, "requirement") if case else None,
        "requirement_name": case["requirement__name"] if case else None,
    }


# --- notes ------------------------------------------------------------------------------------------------------------


def as_task(row: Row, entity_id: str | None, entity_name: str | None) -> Words:
    status = TASK[row["status"]]
    return {
        **shared(row, user=row["created_by__id"]),
        "title": row["title"],
        "description": row["description"] or None,
        "status_id": status.code,
        "status": status.wire,
        "priority_id": value_id("TaskPriority", row["priority"]),
        "priority": {"id": value_id("TaskPriority", row["priority"]), "type_value": row["priority"]},
        "user": person(row, "created_by"),
        "assignee_id": text_id(row["assignee__id"]),
        "assignee": person(row, "assignee"),
        "entity_type": entity_name,
        "entity_id": entity_id,
        "completed_at": row["completed_at"],
        "task_metadata": row["metadata"],
    }


def as_comment(row: Row, entity_id: str, entity_name: str) -> Words:
    return {
        **shared(row, user=row["author__id"]),
        "content": row["text"],
        "entity_type": entity_name,
        "entity_id": entity_id,
        "emojis": row["emojis"] if isinstance(row["emojis"], dict) else {},
        "user": person(row, "author"),
        "edited_at": row["edited_at"],
    }


def as_file(row: Row, entity_id: str, entity_name: str) -> Words:
    return {
        **shared(row, user=row["created_by_id"]),
        "filename": row["filename"],
        "content_type": row["content_type"],
        "size_bytes": row["size"],
        "description": None,
        "position": row["position"],
        "entity_id": entity_id,
        "entity_type": entity_name,
    }


def as_tag(row: Row) -> Words:
    return {**shared(row, user=None), "name": row["name"], "icon_unicode": row["icon"] or None}


def as_user(row: Row, organization_id: UUID) -> Words:
    return {
        "id": str(row["id"]),
        "nano_id": nano_id(row["id"]),
        "created_at": row["created_at"],
        "updated_at": row["updated_at"],
        "organization_id": str(organization_id),
        "name": row["name"],
        "given_name": None,
        "family_name": None,
        "email": row["email"],
        "picture": None,
        "is_active": row["is_active"],
    }


def moment(value: datetime | None) -> str | None:
    return None if value is None else value.isoformat()


def kind_of(name: str) -> str:
    return TestSet.Kind.MULTI_TURN if name == TestSet.Kind.MULTI_TURN else TestSet.Kind.SINGLE_TURN
