"""Test sets, their tests (our cases), prompts, and the words that sort tests."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID

from django.db.models import Exists, OuterRef
from django.http.response import HttpResponseBase

from evalhub.audit.models import record_event
from evalhub.compat.rhesis.beside import beside, tags_given
from evalhub.compat.rhesis.door import Call
from evalhub.compat.rhesis.finding import (
    NANO,
    colleague,
    find,
    find_test_set,
    keys_of,
    meaning_of,
    meaning_of_user,
    referred,
    visible,
)
from evalhub.compat.rhesis.listing import in_order, list_rows
from evalhub.compat.rhesis.odata import Field, Fields
from evalhub.compat.rhesis.reading import Body, Invalid, Refusal, not_found
from evalhub.compat.rhesis.statuses import status_given, value_in
from evalhub.compat.rhesis.test_results import files_of
from evalhub.compat.rhesis.words import (
    CASE_COLUMNS,
    PROMPT_COLUMNS,
    TEST_SET_COLUMNS,
    WORD_COLUMNS,
    Contents,
    Words,
    as_prompt,
    as_test,
    as_test_set,
    as_word,
)
from runs.archiving import delete
from runs.cases import (
    add_to_test_set,
    change_case,
    change_test_set,
    create_cases_of,
    create_test_set,
    ensure_word,
    remove_from_test_set,
)
from runs.models import (
    Case,
    Category,
    Project,
    Prompt,
    Requirement,
    TestRun,
    TestSet,
    TestSetCase,
    Topic,
)

MOST_TESTS: Final = 5_000  # in one bulk
SET_KEYS: Final = (
    "id", "nano_id", "created_at", "updated_at", "organization_id", "user_id", "project_id", "name", "slug",
    "description", "short_description", "test_set_type", "test_set_type_id", "test_count", "categories", "topics",
    "requirements", "behaviors", "metadata", "attributes", "revision", "owner_id", "assignee_id", "status_id", "status",
    "counts", "tags",
)  # fmt: skip
TEST_KEYS: Final = (
    "id", "nano_id", "created_at", "updated_at", "organization_id", "user_id", "project_id", "name", "number",
    "prompt_id", "prompt", "category", "category_id", "topic", "topic_id", "requirement", "requirement_id", "behavior",
    "behavior_id", "test_type", "test_type_id", "test_configuration", "test_metadata", "metadata", "test_parameters",
    "priority", "owner_id", "assignee_id", "status_id", "status", "counts", "tags",
)  # fmt: skip
WORD_KEYS: Final = (
    "id", "nano_id", "created_at", "updated_at", "organization_id", "user_id", "project_id", "name", "description",
)  # fmt: skip
PROMPT_KEYS: Final = (
    "id", "nano_id", "created_at", "updated_at", "organization_id", "user_id", "project_id", "content",
    "language_code", "expected_response",
)  # fmt: skip
PLAN: Final = ("goal", "instructions", "restrictions", "scenario")
WHAT_WORDS: Final[dict[str, Any]] = {"category": Category, "topic": Topic, "requirement": Requirement}


# --- test sets --------------------------------------------------------------------------------------------------------


def set_fields(call: Call) -> Fields:
    user = meaning_of_user(call)
    kind = Field("ident", "kind", lambda text: [kind] if (kind := value_in("TestSetType", text)) else [])
    return {
        "id": Field("ident", "pk", meaning_of(call, TestSet)),
        "nano_id": Field("text", NANO),
        "name": Field("text", "name"),
        "slug": Field("text", "slug"),
        "description": Field("text", "description"),
        "short_description": Field("text", "short_description"),
        "created_at": Field("time", "created_at"),
        "updated_at": Field("time", "updated_at"),
        "test_set_type": kind,
        "test_set_type_id": kind,
        "test_set_type/type_value": kind,
        "status_id": Field("text", "status"),
        "user_id": Field("ident", "owner_id", user),
        "owner_id": Field("ident", "owner_id", user),
        "owner/name": Field("text", "owner__name"),
        "project_id": Field("ident", "project_id", meaning_of(call, Project)),
        "project/name": Field("text", "project__name"),
    }


def show_sets(call: Call, ids: Sequence[UUID]) -> list[Words]:
    rows = in_order(ids, TestSet.objects.filter(pk__in=ids).values(*TEST_SET_COLUMNS))
    told, contents = beside(call, rows, "test_set"), contents_of(ids)
    return [as_test_set(row, told, contents.get(row["id"], Contents())) for row in rows]


def contents_of(ids: Sequence[UUID]) -> dict[UUID, Contents]:
    rows = TestSetCase.objects.filter(test_set__in=ids, case__deleted_at__isnull=True, case__archived_at__isnull=True)
    found: dict[UUID, Contents] = {}
    named = rows.values_list("test_set_id", "case__category__name", "case__topic__name", "case__requirement__name")
    for test_set_id, *names in named:
        contents = found.setdefault(test_set_id, Contents())
        contents.count += 1
        for name, words in zip(names, (contents.categories, contents.topics, contents.requirements), strict=True):
            if name:
                words.add(name)
    return found


def one_set(call: Call, test_set: TestSet) -> Words:
    (words,) = show_sets(call, [test_set.pk])
    return words


def list_sets(call: Call) -> HttpResponseBase:
    rows = visible(call, TestSet).filter(archived_at__isnull=True)
    has_runs = call.flag("has_runs")
    if has_runs is not None:
        run = Exists(TestRun.objects.filter(configuration__test_set=OuterRef("pk"), deleted_at__isnull=True))
        rows = rows.filter(run if has_runs else ~run)
    return list_rows(call, rows, set_fields(call), show_sets, SET_KEYS)


def read_set(call: Call, ident: str) -> Words:
    return one_set(call, find_test_set(call, ident))


def kind_given(body: Body, key: str, family: str) -> str | None:
    """Single-Turn or Multi-Turn: as a word, as an object of a pulled row, or by the list's id."""
    text = body.name_in(f"{key}_type") or body.ident(f"{key}_type_id")
    if text is None:
        return None
    found = value_in(family, text)
    if found is None:
        raise Invalid("enum", body.at(f"{key}_type"), "Input should be 'Single-Turn', 'Multi-Turn'")
    return found


def _set_values(call: Call, body: Body) -> dict[str, Any]:
    """What is sent of a test set's own columns."""
    values: dict[str, Any] = {}
    if name := (body.text("name", longest=300) or "").strip():
        values["name"] = name
    for key in ("description", "short_description"):
        if key in body:
            values[key] = body.text(key, longest=20_000)
    if (kind := kind_given(body, "test_set", "TestSetType")) is not None:
        values["kind"] = kind
    if "metadata" in body:
        values["attributes"] = body.mapping("metadata")
    if body.sent("owner_id"):
        values["owner"] = colleague(call, body, "owner_id")
    tags = tags_given(body)
    if tags is not None:
        values["tags"] = tags
    values |= status_in(call, body, "TestSet")
    return values


def status_in(call: Call, body: Body, entity: str) -> dict[str, str]:
    ident = body.ident("status_id")
    if ident is None:
        return {}
    status = status_given(call.actor, entity, ident)
    if status is None:
        raise not_found("Status", ident, 400)
    return {"status": status}


def project_of(call: Call, body: Body) -> Project:
    return referred(call, body, "project_id", Project) or call.home


def create_set(call: Call) -> Words:
    """An empty one; ``bulk`` makes one with its tests."""
    return _make_set(call, call.body())


def create_set_with_tests(call: Call) -> Words:
    return _make_set(call, call.body())


def _make_set(call: Call, body: Body) -> Words:
    call.must("set_up", "record")
    body.need("name")
    values = _set_values(call, body)
    if "name" not in values:
        raise Invalid("string_too_short", body.at("name"), "String should have at least 1 character")
    if values.get("owner", True) is None:
        del values["owner"]
    tests = body.items("tests")
    if len(tests) > MOST_TESTS:
        raise Invalid("too_long", body.at("tests"), f"List should have at most {MOST_TESTS} items")
    kinds = [_case_kind(test) for test in tests]
    if "kind" not in values and tests and all(kind == TestSet.Kind.MULTI_TURN for kind in kinds):
        values["kind"] = TestSet.Kind.MULTI_TURN
    project = project_of(call, body)
    test_set = create_test_set(project, by=call.actor, **values)
    if tests:
        add_to_test_set(test_set, Desk(call, project).make(tests), by=call.actor)
    return one_set(call, test_set)


def change_set(call: Call, ident: str) -> Words:
    call.must("set_up", "record")
    body = call.body()
    test_set = find_test_set(call, ident)
    values = _set_values(call, body)
    if values.get("owner", True) is None and test_set.owner_id is None:
        del values["owner"]
    change_test_set(test_set, by=call.actor, **values)
    return one_set(call, test_set)


def remove_set(call: Call, ident: str) -> Words:
    call.must("archive")
    test_set = find_test_set(call, ident)
    words = one_set(call, test_set)
    delete(test_set, by=call.actor)
    return words


def tests_of_set(call: Call, ident: str) -> HttpResponseBase:
    test_set = find_test_set(call, ident)
    rows = Case.objects.visible_to(call.actor).filter(memberships__test_set=test_set, archived_at__isnull=True)
    fields = {**test_fields(call), "position": Field("number", "memberships__position")}
    return list_rows(call, rows, fields, show_tests, TEST_KEYS, order="position")


def _cases_named(call: Call, body: Body) -> list[Case]:
    body.need("test_ids")
    idents = [_ident(item, (*body.at("test_ids"), n)) for n, item in enumerate(body.many("test_ids"))]
    keys = keys_of(call, Case, idents)
    cases = list(visible(call, Case).filter(pk__in=keys))
    if len({case.pk for case in cases}) < len(set(idents)):
        known = {name for case in cases for name in (str(case.pk), case.external_id)}
        raise not_found("Test", next((ident for ident in idents if ident not in known), ""), 400)
    order = {name: n for n, name in enumerate(idents)}
    return sorted(cases, key=lambda case: order.get(str(case.pk), order.get(case.external_id or "", 0)))


def _ident(item: Any, place: tuple[str | int, ...]) -> str:
    if not isinstance(item, str) or not item.strip():
        raise Invalid("string_type", place, "Input should be a valid string")
    return item.strip()


def associate(call: Call, ident: str) -> Words:
    call.must("set_up", "record")
    test_set = find_test_set(call, ident)
    cases = _cases_named(call, call.body())
    added = add_to_test_set(test_set, cases, by=call.actor)
    total = contents_of([test_set.pk]).get(test_set.pk, Contents()).count
    return {
        "success": True,
        "total_tests": total,
        "message": f"Added {added} tests to {test_set.name}",
        "metadata": {"new_associations": added, "existing_associations": len(cases) - added},
    }


def disassociate(call: Call, ident: str) -> Words:
    call.must("set_up", "record")
    test_set = find_test_set(call, ident)
    cases = _cases_named(call, call.body())
    removed = remove_from_test_set(test_set, [case.pk for case in cases], by=call.actor)
    total = contents_of([test_set.pk]).get(test_set.pk, Contents()).count
    return {
        "success": True,
        "total_tests": total,
        "removed_associations": removed,
        "message": f"Removed {removed} tests from {test_set.name}",
    }


# --- tests ------------------------------------------------------------------------------------------------------------


def test_fields(call: Call) -> Fields:
    user = meaning_of_user(call)
    kind = Field("ident", "kind", lambda text: [kind] if (kind := value_in("TestType", text)) else [])
    words = {
        key: (Field("ident", f"{key}_id", meaning_of(call, model)), Field("text", f"{key}__name"))
        for key, model in WHAT_WORDS.items()
    }
    words["behavior"] = words["requirement"]
    named = {f"{key}_id": ident for key, (ident, _) in words.items()}
    named |= {path: name for key, (_, name) in words.items() for path in (key, f"{key}/name")}
    return {
        "id": Field("ident", "pk", meaning_of(call, Case)),
        "nano_id": Field("text", NANO),
        "name": Field("text", "name"),
        "number": Field("number", "number"),
        "created_at": Field("time", "created_at"),
        "updated_at": Field("time", "updated_at"),
        "prompt_id": Field("ident", "prompt_id", meaning_of(call, Prompt)),
        "prompt/content": Field("text", "prompt__content"),
        "prompt/expected_response": Field("text", "prompt__expected_response"),
        "prompt/language_code": Field("text", "prompt__language_code"),
        **named,
        "test_type": kind,
        "test_type_id": kind,
        "test_type/type_value": kind,
        "priority": Field("number", "priority"),
        "status_id": Field("text", "status"),
        "user_id": Field("ident", "owner_id", user),
        "owner_id": Field("ident", "owner_id", user),
        "owner/name": Field("text", "owner__name"),
        "assignee_id": Field("ident", "assignee_id", user),
        "assignee/name": Field("text", "assignee__name"),
        "project_id": Field("ident", "project_id", meaning_of(call, Project)),
        "project/name": Field("text", "project__name"),
    }


def show_tests(call: Call, ids: Sequence[UUID]) -> list[Words]:
    rows = in_order(ids, Case.objects.filter(pk__in=ids).values(*CASE_COLUMNS))
    told = beside(call, rows, "case")
    return [as_test(row, told) for row in rows]


def one_test(call: Call, case: Case) -> Words:
    (words,) = show_tests(call, [case.pk])
    return words


def list_tests(call: Call) -> HttpResponseBase:
    rows = visible(call, Case).filter(archived_at__isnull=True)
    return list_rows(call, rows, test_fields(call), show_tests, TEST_KEYS)


def read_test(call: Call, ident: str) -> Words:
    return one_test(call, find(call, Case, ident))


def files_of_test(call: Call, ident: str) -> list[Words]:
    return files_of(call, "case", "Test", find(call, Case, ident))


def _case_kind(body: Body) -> str:
    kind = kind_given(body, "test", "TestType")
    if kind is not None:
        return kind
    plan = body.mapping("test_configuration") or {}
    return TestSet.Kind.MULTI_TURN if plan.get("goal") else TestSet.Kind.SINGLE_TURN


class Desk:
    """Tests on their way in: words are looked up once."""

    def __init__(self, call: Call, project: Project) -> None:
        self.call, self.project = call, project
        self._words: dict[tuple[str, str], Any] = {}
        self._prompts: list[Prompt] = []

    def make(self, bodies: Sequence[Body]) -> list[Case]:
        values = [self._whole(body) for body in bodies]
        self.keep_prompts()
        return create_cases_of(self.project, values, by=self.call.actor)

    def keep_prompts(self) -> None:
        """New prompts go into the database together."""
        Prompt.objects.bulk_create(self._prompts, batch_size=500)
        self._prompts = []

    def _whole(self, body: Body) -> dict[str, Any]:
        values = self.values(body)
        values.setdefault("kind", _case_kind(body))
        if values.get("owner", True) is None:
            del values["owner"]
        if "inputs" not in values:
            plan = values.get("plan") or {}
            if not plan.get("goal"):
                raise Invalid(
                    "missing", body.at("prompt"), "A test needs a prompt, or a test_configuration with a goal"
                )
            values["inputs"] = {"input": plan["goal"]}
        return values

    def values(self, body: Body) -> dict[str, Any]:
        """What is sent of a case's own columns."""
        call = self.call
        values: dict[str, Any] = self._prompt(body)
        for key, model in WHAT_WORDS.items():
            values |= self._word(body, key, model)
        plan = body.inner("test_configuration")
        if plan is not None:
            values["plan"] = self._plan(plan)
        if "metadata" in body or "test_metadata" in body or "test_parameters" in body:
            kept = body.mapping("test_metadata") or body.mapping("metadata") or {}
            parameters = body.mapping("test_parameters")
            values["attributes"] = {**kept, **({"test_parameters": parameters} if parameters else {})}
        if "name" in body:
            values["name"] = (body.text("name", longest=300) or "").strip()
        if "priority" in body:
            values["priority"] = body.whole("priority", most=1_000_000)
        for key in ("owner", "assignee"):
            if body.sent(f"{key}_id"):
                values[key] = colleague(call, body, f"{key}_id")
        tags = tags_given(body)
        if tags is not None:
            values["tags"] = tags
        return {**values, **status_in(call, body, "Test")}

    def _prompt(self, body: Body) -> dict[str, Any]:
        sent = body.inner("prompt")
        named = referred(self.call, body, "prompt_id", Prompt)
        if sent is not None and sent.ident("id") is not None and named is None:
            named = find(self.call, Prompt, sent.ident("id") or "", status=400)
        if sent is None and named is None:
            return {}
        if sent is not None and "content" not in sent and named is None:
            raise Invalid("missing", sent.at("content"), "Field required")
        prompt = named if sent is None else self._kept(sent, named)
        assert prompt is not None
        expected = None if prompt.expected_response is None else {"output": prompt.expected_response}
        return {"prompt": prompt, "inputs": {"input": prompt.content}, "expected": expected}

    def _kept(self, sent: Body, named: Prompt | None) -> Prompt:
        """The prompt that a test brings along: itself, or a new one where it says something else."""
        content = sent.text("content")
        expected = sent.text("expected_response")
        language = sent.text("language_code", longest=16) or "en"
        same = named is not None and content in (None, named.content)
        if named is not None and same and (not sent.sent("expected_response") or expected == named.expected_response):
            return named
        prompt = Prompt(
            organization=self.call.actor.organization,
            content=content if content is not None else named.content if named else "",
            expected_response=expected,
            language_code=language,
        )
        self._prompts.append(prompt)
        return prompt

    def _word(self, body: Body, key: str, model: Any) -> dict[str, Any]:
        """By id, or by name: then it is made where it is new. ``behavior`` is what requirement was called."""
        for spelled in (key, "behavior") if key == "requirement" else (key,):
            row = referred(self.call, body, f"{spelled}_id", model)
            name = body.name_in(spelled)
            if name is not None and (row is None or row.name != name):
                if (key, name) not in self._words:
                    self._words[key, name] = ensure_word(model, self.call.actor.organization, name)
                row = self._words[key, name]
            if row is not None:
                return {key: row}
        return {}

    def _plan(self, body: Body) -> dict[str, Any]:
        """The plan of a conversation; keys of other releases are kept."""
        if "goal" not in body:
            return dict(body.value)
        for key in PLAN:
            body.text(key, longest=50_000)
        for key in ("max_turns", "min_turns"):
            body.whole(key, least=1, most=1000)
        return {key: value for key, value in body.value.items() if value is not None}


def create_test(call: Call) -> Words:
    call.must("set_up", "record")
    body = call.body()
    (case,) = Desk(call, project_of(call, body)).make([body])
    return one_test(call, case)


def change_test(call: Call, ident: str) -> Words:
    call.must("set_up", "record")
    body = call.body()
    case = find(call, Case, ident)
    shown = one_test(call, case)["prompt"] or {}
    sent = body.value.get("prompt")
    if isinstance(sent, dict) and all(key in shown and shown[key] == value for key, value in sent.items()):
        del body.value["prompt"]  # a pulled test's own prompt, which may be no row
    desk = Desk(call, case.project)
    values = desk.values(body)
    desk.keep_prompts()
    if values.get("prompt") == case.prompt:
        for key in ("inputs", "expected"):
            values.pop(key, None)
    if kind := kind_given(body, "test", "TestType"):
        values["kind"] = kind
    if values.get("attributes") is not None and "test_parameters" not in body:
        kept = case.attributes.get("test_parameters")
        values["attributes"] |= {"test_parameters": kept} if kept else {}
    change_case(case, by=call.actor, **values)
    return one_test(call, case)


def remove_test(call: Call, ident: str) -> Words:
    call.must("archive", "record")
    case = find(call, Case, ident)
    words = one_test(call, case)
    delete(case, by=call.actor)
    return words


# --- prompts ----------------------------------------------------------------------------------------------------------


def prompt_fields(call: Call) -> Fields:
    return {
        "id": Field("ident", "pk", meaning_of(call, Prompt)),
        "nano_id": Field("text", NANO),
        "content": Field("text", "content"),
        "name": Field("text", "content"),  # pull(name=) asks for it
        "language_code": Field("text", "language_code"),
        "expected_response": Field("text", "expected_response"),
        "created_at": Field("time", "created_at"),
        "updated_at": Field("time", "updated_at"),
    }


def show_prompts(call: Call, ids: Sequence[UUID]) -> list[Words]:
    return [as_prompt(row) for row in in_order(ids, Prompt.objects.filter(pk__in=ids).values(*PROMPT_COLUMNS))]


def list_prompts(call: Call) -> HttpResponseBase:
    return list_rows(call, visible(call, Prompt), prompt_fields(call), show_prompts, PROMPT_KEYS)


def read_prompt(call: Call, ident: str) -> Words:
    (words,) = show_prompts(call, [find(call, Prompt, ident).pk])
    return words


def create_prompt(call: Call) -> Words:
    call.must("set_up", "record")
    body = call.body()
    body.need("content")
    prompt = Prompt.objects.create(
        organization=call.actor.organization,
        content=body.text("content") or "",
        language_code=body.text("language_code", longest=16) or "en",
        expected_response=body.text("expected_response"),
    )
    (words,) = show_prompts(call, [prompt.pk])
    return words


def change_prompt(call: Call, ident: str) -> Words:
    """The tests that ask it ask differently from now on."""
    call.must("set_up", "record")
    body = call.body()
    prompt = find(call, Prompt, ident)
    if "content" in body:
        prompt.content = body.text("content") or ""
    if "language_code" in body:
        prompt.language_code = body.text("language_code", longest=16) or "en"
    if "expected_response" in body:
        prompt.expected_response = body.text("expected_response")
    prompt.save()
    expected = None if prompt.expected_response is None else {"output": prompt.expected_response}
    for case in Case.objects.visible_to(call.actor).filter(prompt=prompt):
        change_case(case, by=call.actor, inputs={"input": prompt.content}, expected=expected)
    (words,) = show_prompts(call, [prompt.pk])
    return words


def remove_prompt(call: Call, ident: str) -> Words:
    call.must("archive", "record")
    prompt = find(call, Prompt, ident)
    (words,) = show_prompts(call, [prompt.pk])
    record_event("prompt.deleted", prompt, by=call.actor)
    prompt.delete()
    return words


# --- categories, topics, requirements ---------------------------------------------------------------------------------


class OfWords:
    """The calls about one kind of words."""

    def __init__(self, model: Any) -> None:
        self.model = model

    def fields(self, call: Call) -> Fields:
        return {
            "id": Field("ident", "pk", meaning_of(call, self.model)),
            "nano_id": Field("text", NANO),
            "name": Field("text", "name"),
            "description": Field("text", "description"),
            "created_at": Field("time", "created_at"),
            "updated_at": Field("time", "updated_at"),
        }

    def show(self, call: Call, ids: Sequence[UUID]) -> list[Words]:
        rows = in_order(ids, self.model.objects.filter(pk__in=ids).values(*WORD_COLUMNS))
        return [as_word(row) for row in rows]

    def one(self, call: Call, row: Any) -> Words:
        (words,) = self.show(call, [row.pk])
        return words

    def list(self, call: Call) -> HttpResponseBase:
        return list_rows(call, visible(call, self.model), self.fields(call), self.show, WORD_KEYS)

    def read(self, call: Call, ident: str) -> Words:
        return self.one(call, find(call, self.model, ident))

    def create(self, call: Call) -> Words:
        """A name that is there already gives the word that has it."""
        call.must("set_up", "record")
        body = call.body()
        name = (body.text("name", longest=200) or "").strip()
        if not name:
            raise Invalid("missing", body.at("name"), "Field required")
        row = ensure_word(self.model, call.actor.organization, name)
        assert row is not None
        description = body.text("description", longest=20_000)
        if description is not None and description != row.description:
            row.description = description
            row.save(update_fields=["description", "updated_at"])
        return self.one(call, row)

    def change(self, call: Call, ident: str) -> Words:
        call.must("set_up", "record")
        body = call.body()
        row = find(call, self.model, ident)
        name = (body.text("name", longest=200) or "").strip()
        if name and name != row.name:
            if self.model.objects.filter(organization=call.actor.organization, name=name).exists():
                raise Refusal(f"There is “{name}” already.", 409)
            row.name = name
        if "description" in body:
            row.description = body.text("description", longest=20_000) or ""
        row.save(update_fields=["name", "description", "updated_at"])
        return self.one(call, row)

    def remove(self, call: Call, ident: str) -> Words:
        call.must("archive", "record")
        row = find(call, self.model, ident)
        words = self.one(call, row)
        record_event(f"{row._meta.model_name}.deleted", row, by=call.actor)
        row.delete()
        return words


CATEGORIES: Final = OfWords(Category)
TOPICS: Final = OfWords(Topic)
REQUIREMENTS: Final = OfWords(Requirement)
