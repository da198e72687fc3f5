"""Every address of the URLconf and every operation of the API, as everybody: nobody gets in, and nothing gets out.

The addresses come from the URLconf. One without a rule, or whose path names something that ``ours`` has no example of,
fails here, so a new address cannot be forgotten.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from django.apps import apps
from django.core.cache import cache
from django.db import connection
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver
from django.utils import timezone

from evalhub.accounts.access import PUBLIC, SIGNED_IN
from evalhub.accounts.models import ApiToken, Invitation, Membership, Organization, User
from evalhub.accounts.rights import RIGHTS, Role, Scope
from evalhub.api.authentication import PerToken
from evalhub.audit.models import AuditEvent
from results.assigning import assign_reviewers
from results.models import Feedback, ReviewAssignment, TestResult
from results.recording import record_results
from results.records import Judgement, ResultRecord, StepRecord
from results.reviewing import submit_review
from runs.models import (
    Attachment,
    CaseVerdict,
    Category,
    Comment,
    Folder,
    Import,
    Lookup,
    Prompt,
    Requirement,
    SavedView,
    Tag,
    Task,
    Topic,
    Variant,
)
from tests.factories import (
    make_actor,
    make_case,
    make_configuration,
    make_endpoint,
    make_evaluator,
    make_organization,
    make_project,
    make_run,
    make_test_set,
    make_token,
    make_user,
)

pytestmark = pytest.mark.django_db

CANARY = "zebrafinch"
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
OPEN = {  # what a stranger to everything may ask, and why
    "home": "redirects to the runs",
    "healthz": "probe of a load balancer",
    "readyz": "probe of a load balancer",
    "demo-chat": "the demo's bot, served by the demo only",
    "api:index": "says what there is",
    "api:docs": "the same for everybody",
    "api:schema": "the same for everybody",
    "api:nowhere": "404 for everybody",
    "gentrace:nowhere": "404 for everybody",
    "rhesis:health": "says that the server answers",
    "accounts:login": "the way in",
    "accounts:logout": "the way out",
    "accounts:invitation-accept": "its secret is the key",
}
DENIED = frozenset({401, 403, 404, 405})


@dataclass(frozen=True)
class Address:
    name: str
    pattern: str
    view: Any
    names: tuple[str, ...]

    def rule(self, method: str) -> str | None:
        """The right that a method needs: an action, PUBLIC, SIGNED_IN, "bearer"; None where there is no such method."""
        operations = getattr(getattr(self.view, "cls", None), "operations", None)
        if operations is not None:
            operation = operations.get(method)
            return None if operation is None else operation.action or PUBLIC
        if self.name.startswith(("gentrace:", "rhesis:")):
            return "bearer" if method in self.view.methods else None
        return getattr(self.view, "requires", None)


def addresses() -> Iterator[Address]:
    def walk(resolver: Any, space: str, prefix: str) -> Iterator[Address]:
        for entry in resolver.url_patterns:
            if isinstance(entry, URLResolver):
                inner = ":".join(part for part in (space, entry.namespace or "") if part)
                yield from walk(entry, inner, prefix + str(entry.pattern))
            elif isinstance(entry, URLPattern):
                pattern = prefix + str(entry.pattern)
                found = re.findall(r"<(?:\w+:)?(\w+)>|\(\?P<(\w+)>", pattern)
                names = tuple(one or other for one, other in found)
                yield Address(f"{space}:{entry.name}" if space else str(entry.name), pattern, entry.callback, names)

    for address in walk(get_resolver(), "", ""):
        if not address.name.startswith("admin:"):  # the console has its own test: tests/test_admin.py
            yield address


@dataclass
class World:
    """One organisation with a row of everything, each bearing the canary."""

    organization: Organization
    admin: User
    rows: dict[str, Any] = field(default_factory=dict)


@pytest.fixture
def ours(db: None) -> World:
    organization = make_organization(name=f"{CANARY} Inc", slug=CANARY)
    admin = make_user(organization, Role.ADMIN, name=f"{CANARY} admin", email=f"{CANARY}@example.com")
    project = make_project(organization, name=f"{CANARY} project", slug=f"{CANARY}-project", tags=[CANARY])
    test_set = make_test_set(project, name=f"{CANARY} set")
    case = make_case(project, test_set, name=f"{CANARY} case", inputs={"input": CANARY}, tags=[CANARY])
    endpoint = make_endpoint(project, name=f"{CANARY} endpoint", request_mapping={"model": CANARY})
    evaluator = make_evaluator(project, name=f"{CANARY} evaluator")
    configuration = make_configuration(project, name=f"{CANARY} configuration", endpoint=endpoint, test_set=test_set)
    run = make_run(project, name=f"{CANARY} run", configuration=configuration, by=admin, branch=CANARY)
    Variant.objects.create(organization=organization, run=run, position=0, label=CANARY)
    recorded = record_results(
        run,
        [
            ResultRecord(
                case=case.pk,
                repetition=n,
                output={"output": CANARY},
                tags=[CANARY],
                render_html_key="output",
                steps=[StepRecord(name=CANARY, outputs={"a": CANARY})],
                evaluations=[Judgement(evaluator=evaluator, value=0.2, explanation=CANARY)],
            )
            for n in (1, 2, 3)
        ],
    )
    first, second, _ = TestResult.objects.filter(pk__in=[one.id for one in recorded]).order_by("position")
    round_ = assign_reviewers([first], [admin], by=admin, name=f"{CANARY} round", rubric=CANARY)
    review = submit_review(second, by=admin, verdict="failed", comment=CANARY)
    token, _ = ApiToken.issue(user=admin, organization=organization, name=CANARY, scopes=["read"])
    owned: dict[str, Any] = {"organization": organization}
    entry = Import.objects.create(**owned, project=project, filename=f"{CANARY}.csv", state="failed", created_by=admin)
    comment = Comment.objects.create(**owned, entity_type="result", entity_id=first.pk, author=admin, text=CANARY)
    view = SavedView.objects.create(**owned, user=admin, page="runs", name=CANARY, query="", shared=True)
    invitation = Invitation.objects.create(
        **owned, email=f"{CANARY}2@example.com", digest="0" * 64, expires_at=timezone.now() + timezone.timedelta(days=1)
    )
    feedback = Feedback.objects.create(**owned, result=first, score=1, details=CANARY, recorded_at=timezone.now())
    tag = Tag.objects.create(**owned, name=CANARY)
    folder = Folder.objects.create(**owned, name=CANARY)
    attachment = Attachment.objects.create(**owned, entity_type="project", entity_id=project.pk, filename=CANARY)
    words = {
        "requirement": Requirement.objects.create(**owned, name=CANARY),
        "category": Category.objects.create(**owned, name=CANARY),
        "topic": Topic.objects.create(**owned, name=CANARY),
        "prompt": Prompt.objects.create(**owned, content=CANARY),
        "task": Task.objects.create(**owned, title=CANARY),
        "status": Lookup.objects.create(**owned, family="status:Test", name=CANARY),
        "value": Lookup.objects.create(**owned, family="Mood", name=CANARY),
    }
    CaseVerdict.objects.create(**owned, case=case, author=admin, passed=False, comment=CANARY)
    AuditEvent.objects.create(organization=organization, user=admin, action="tried", entity_label=CANARY)
    assignment = round_.assignments.get()
    rows = {
        "project": project, "test_set": test_set, "case": case, "endpoint": endpoint, "evaluator": evaluator,
        "configuration": configuration, "run": run, "result": first, "round": round_, "assignment": assignment,
        "review": review, "token": token, "import": entry, "comment": comment, "view": view,
        "invitation": invitation, "feedback": feedback, "tag": tag, "folder": folder, "attachment": attachment,
        "membership": admin.memberships.get(), "member": admin, "verdict": review.evaluations.get(), **words,
    }  # fmt: skip
    return World(organization, admin, rows)


NOUNS = {  # where the name of an address says less than its variable needs
    "gentrace:folder": "folder",
    "gentrace:test-case": "case",
    "gentrace:test-result": "run",
    "gentrace:test-result-simple-update": "run",
    "gentrace:dataset": "test_set",
    "gentrace:run": "result",
    "gentrace:feedback": "feedback",
    "rhesis:test-set": "test_set",
    "rhesis:test": "case",
    "rhesis:metric": "evaluator",
    "rhesis:model": "endpoint",
    "rhesis:annotation": "verdict",
    "rhesis:behavior": "requirement",
    "rhesis:entity": "run",
    "rhesis:file": "attachment",
    "rhesis:user": "member",
    "rhesis:value": "value",
    "runs:attachment": "attachment",
    "api:launch": "configuration",
    "imports:": "import",
}


PATTERNS = {  # pieces of regular expressions, and what they match
    "(?:/|$)": "/",
    "/?$": "",
    "(?:requirements|behaviors)": "requirements",
    "^(?:/)*": "",
    "^/*": "",
    "^": "",
    "$": "",
    "v[1-4](?:/.*)?": "v1/none",
    ".*": "none",
}
RHESIS_NOUNS = {"review": "verdict", "metric": "evaluator", "endpoint": "endpoint", "tag_ident": "tag"}


def path_to(address: Address, rows: dict[str, Any]) -> str:
    """The address with ids of ``rows`` in it."""
    path = address.pattern
    for name in address.names:
        value = value_for(address, name, rows)
        path = re.sub(rf"<(?:\w+:)?{name}>|\(\?P<{name}>[^)]*\)", value, path, count=1)
    for pattern, example in PATTERNS.items():
        path = path.replace(pattern, example)
    return "/" + path


def value_for(address: Address, name: str, rows: dict[str, Any]) -> str:
    if name == "secret":
        return "not-a-secret"
    if name == "position":
        return "1"
    if name == "emoji":
        return "x"
    if name == "kind":
        return "TestResult" if address.name == "rhesis:result-annotations" else "TestRun"
    if name in RHESIS_NOUNS and address.name.startswith("rhesis:"):
        return str(rows[RHESIS_NOUNS[name]].pk)
    noun = name.removesuffix("_id")
    if noun in ("id", "pk", "ident"):
        match = next((noun for start, noun in NOUNS.items() if address.name.startswith(start)), None)
        label = address.name.split(":")[1]
        noun = match or next(
            (key for key in sorted(rows, key=len, reverse=True) if label.startswith(key.replace("_", "-"))), ""
        )
    assert noun in rows, f"{address.name}: {name} is no variable that this test has an example of"
    return str(rows[noun].pk)


def person(organization: Organization, role: str) -> tuple[Client, str]:
    """A signed-in browser, and a token with every scope."""
    user = make_user(organization, role)
    client = Client(raise_request_exception=True)
    client.force_login(user)
    return client, make_token(user, organization, list(Scope.values))


def ask(client: Client, method: str, address: Address, path: str, token: str = "", **headers: str) -> Any:
    PerToken.allowance.full_at.clear()
    cache.clear()
    if path.startswith(("/api/", "/rhesis/")):
        if token:
            headers["Authorization"] = f"Bearer {token}"
        return Client().generic(method, path, b"{}", content_type="application/json", headers=headers)
    return client.generic(method, path, b"", content_type="application/x-www-form-urlencoded", headers=headers)


def body_of(answer: Any) -> str:
    raw = b"".join(answer.streaming_content) if answer.streaming else answer.content
    return raw.decode("utf-8", "replace")


def state_of(organization: Organization) -> dict[str, Any]:
    """Every row of the organisation, so that any change shows; what was looked at or refused may be written down."""
    state = {}
    for model in apps.get_models():
        if model is AuditEvent or not any(f.name == "organization" for f in model._meta.concrete_fields):
            continue
        with connection.cursor() as cursor:
            cursor.execute(
                f'SELECT md5(string_agg(t::text, chr(10) ORDER BY t::text)) FROM "{model._meta.db_table}" t '
                "WHERE organization_id = %s",
                [organization.pk],
            )
            state[model.__name__] = cursor.fetchone()[0]
    return state


def every(check: Callable[[Address, str], str | None]) -> list[str]:
    """What a check complains of, over all addresses and methods."""
    found = []
    for address in addresses():
        for method in METHODS:
            complaint = check(address, method)
            if complaint:
                found.append(f"{method} {address.name}: {complaint}")
    return found


# --- the tests --------------------------------------------------------------------------------------------------------


def test_every_address_has_a_rule():
    without = [
        address.name
        for address in addresses()
        if address.name not in OPEN and not any(address.rule(method) for method in METHODS)
    ]
    unknown = {
        rule
        for address in addresses()
        for method in METHODS
        if (rule := address.rule(method)) and rule not in (*RIGHTS, PUBLIC, SIGNED_IN, "bearer")
    }

    assert (without, unknown) == ([], set())


def test_every_exception_is_a_real_address():
    assert OPEN.keys() - {address.name for address in addresses()} == set()


def test_nobody_gets_in_without_signing_in(ours: World):
    client = Client()
    before = state_of(ours.organization)

    def check(address: Address, method: str) -> str | None:
        if address.name in OPEN:
            return None
        for headers in ({}, {"HX-Request": "true"}):
            answer = ask(client, method, address, path_to(address, ours.rows), **headers)
            to_login = answer.status_code == 302 and answer["Location"].startswith("/login/")
            if not to_login and answer.status_code not in DENIED:
                return f"{answer.status_code} {headers}"
            if CANARY in body_of(answer).replace(path_to(address, ours.rows), ""):
                return f"shows the canary {headers}"
        return None

    assert every(check) == []
    assert state_of(ours.organization) == before


def test_open_addresses_tell_nobody_anything(ours: World):
    told = [
        address.name
        for address in addresses()
        if address.name in OPEN and CANARY in body_of(ask(Client(), "GET", address, path_to(address, ours.rows)))
    ]

    assert told == []


def test_the_admin_of_another_organisation_is_a_stranger(ours: World):
    """The same answer as for an id that does not exist, on pages, fragments, the API and the SDK doors."""
    client, token = person(make_organization(), Role.ADMIN)
    before = state_of(ours.organization)

    def check(address: Address, method: str) -> str | None:
        if address.name in OPEN:
            return None
        path = path_to(address, ours.rows)
        for headers in ({}, {"HX-Request": "true"}):
            answer = ask(client, method, address, path, token, **headers)
            names_ours = bool(address.names) and address.names != ("secret",)
            if answer.status_code >= 500:
                return f"{answer.status_code} {headers}"
            if names_ours and answer.status_code not in (404, 405):
                return f"{answer.status_code} {headers}"
            if CANARY in body_of(answer).replace(path, ""):
                return f"shows the canary {headers}"
        return None

    assert every(check) == []
    assert state_of(ours.organization) == before


def test_a_foreign_id_and_one_that_does_not_exist_get_the_same_answer(ours: World):
    client, token = person(make_organization(), Role.ADMIN)
    nothing = {noun: type(row)(pk="01a00000-0000-4000-8000-000000000000") for noun, row in ours.rows.items()}

    def check(address: Address, method: str) -> str | None:
        if address.name in OPEN or not address.names or address.names == ("secret",):
            return None
        answers = []
        for rows in (ours.rows, nothing):
            path = path_to(address, rows)
            answer = ask(client, method, address, path, token)
            answers.append((answer.status_code, comparable(body_of(answer), path)))
        return None if answers[0] == answers[1] else f"{answers[0][0]} and {answers[1][0]}"

    assert every(check) == []


def comparable(body: str, path: str) -> str:
    """Without what names the request itself."""
    body = body.replace(path, "").replace(path.rsplit("/", 2)[-1], "")
    return re.sub(
        r"[0-9a-f]{8}-[0-9a-f-]{27}|[0-9a-f]{24}|csrfmiddlewaretoken\" value=\"[^\"]+|X-CSRFToken[^}]+", "", body
    )


@pytest.mark.parametrize("role", Role.values)
def test_each_role_may_what_the_table_says(ours: World, role: str):
    """A refusal is 403 where the table says no, and anything but 401 and 403 where it says yes."""
    client, token = person(ours.organization, role)

    def check(address: Address, method: str) -> str | None:
        rule = address.rule(method)
        if address.name in OPEN or rule in (None, PUBLIC, SIGNED_IN, "bearer"):
            return None
        roles, scopes = RIGHTS[rule or ""]
        api = address.name.startswith("api:")
        allowed = role in roles and (not api or bool(scopes))
        path = path_to(address, ours.rows)
        if method == "DELETE" and allowed:
            return None  # it would take the example away
        answer = ask(client, method, address, path, token)
        refused = answer.status_code == 403
        if answer.status_code >= 500:
            return str(answer.status_code)
        if allowed and answer.status_code in (401, 403) and address.name not in ONLY_OWN:
            return f"{answer.status_code}, and {role} may {rule}"
        if not allowed and not refused and answer.status_code != 405:
            return f"{answer.status_code}, and {role} may not {rule}"
        return None

    assert every(check) == []


ONLY_OWN = {  # beyond the role, these are for the person whom the row belongs to
    "results:review-withdraw",
    "results:comment-delete",
    "results:comment-restore",
    "results:review",
    "results:review-draft",
    "results:review-decline",
    "api:comment-detail",
    "api:assignment-declination",
    "api:result-review",
    "api:view-detail",
    "runs:view-share",
    "runs:view-delete",
}


def test_a_token_may_only_what_its_scopes_say(ours: World):
    reader = make_user(ours.organization, Role.ADMIN)
    token = make_token(reader, ours.organization, ["read"])

    def check(address: Address, method: str) -> str | None:
        rule = address.rule(method)
        if not address.name.startswith("api:") or address.name in OPEN or rule is None:
            return None
        answer = ask(Client(), method, address, path_to(address, ours.rows), token)
        may = Scope.READ in RIGHTS[rule][1]
        if may is (answer.status_code == 403):
            return f"{answer.status_code}, and the scope read {'may' if may else 'may not'} {rule}"
        return None

    assert every(check) == []


def test_a_removed_member_is_out_at_once(ours: World):
    user = make_user(ours.organization, Role.LEAD)
    client = Client()
    client.force_login(user)
    token = make_token(user, ours.organization)
    user.memberships.all().delete()

    page = client.get("/runs/")
    program = Client().get("/api/runs/", headers={"Authorization": f"Bearer {token}"})

    assert (page.status_code, program.status_code) == (403, 401)
    assert CANARY not in body_of(page)


FOREIGN_BODIES: dict[str, Callable[[dict[str, Any], World], dict[str, Any]]] = {
    "/api/runs/": lambda own, w: {"project": str(w.rows["project"].pk), "name": "x"},
    "/api/test-sets/": lambda own, w: {"project": str(w.rows["project"].pk), "name": "x"},
    "/api/cases/": lambda own, w: {"project": str(w.rows["project"].pk), "name": "x", "inputs": {}},
    "/api/evaluators/": lambda own, w: {"project": str(w.rows["project"].pk), "name": "x"},
    "/api/endpoints/": lambda own, w: {"project": str(w.rows["project"].pk), "name": "x"},
    "/api/configurations/": lambda own, w: {
        "project": own["project"],
        "name": "x",
        "endpoint": str(w.rows["endpoint"].pk),
    },
    "/api/comments/": lambda own, w: {
        "entity_type": "result",
        "entity_id": str(w.rows["result"].pk),
        "text": "x",
    },
    "/api/assignments/": lambda own, w: {"results": [str(w.rows["result"].pk)], "reviewers": [own["user"]]},
    "/api/v1/test-case": lambda own, w: {"pipelineSlug": f"{CANARY}-project", "name": "x", "inputs": {}},
    "/api/v1/test-result-simple": lambda own, w: {
        "pipelineSlug": own["slug"],
        "testRuns": [{"caseId": str(w.rows["case"].pk), "inputs": {}}],
    },
    "/api/v2/evaluations/bulk": lambda own, w: {
        "data": [{"evaluatorId": str(w.rows["evaluator"].pk), "runId": str(w.rows["result"].pk), "evalValue": 1}]
    },
    "/rhesis/test_runs": lambda own, w: {"test_configuration_id": str(w.rows["configuration"].pk)},
    "/rhesis/test_results": lambda own, w: {"test_configuration_id": str(w.rows["configuration"].pk)},
    "/rhesis/test_configurations/": lambda own, w: {"endpoint_id": str(w.rows["endpoint"].pk)},
    "/rhesis/test_sets/bulk": lambda own, w: {"name": "x", "project_id": str(w.rows["project"].pk)},
    "/rhesis/tests": lambda own, w: {"prompt_id": str(w.rows["prompt"].pk)},
    "/rhesis/metrics": lambda own, w: {"name": "x", "project_id": str(w.rows["project"].pk)},
    "/rhesis/annotations": lambda own, w: {
        "entity_type": "TestResult",
        "entity_id": str(w.rows["result"].pk),
        "status_id": "passed",
    },
    "/rhesis/comments": lambda own, w: {
        "entity_type": "TestRun",
        "entity_id": str(w.rows["run"].pk),
        "content": "x",
    },
    "/rhesis/tasks": lambda own, w: {"title": "x", "status_id": "open", "assignee_id": str(w.admin.pk)},
    "/rhesis/preflight-checks": lambda own, w: {
        "test_set_id": str(w.rows["test_set"].pk),
        "endpoint_id": str(w.rows["endpoint"].pk),
    },
    "/api/v2/feedback": lambda own, w: {
        "pipelineRunId": str(w.rows["result"].pk),
        "score": 1,
        "recordedTime": 1,
    },
}


@pytest.mark.parametrize("path", FOREIGN_BODIES)
def test_a_foreign_id_in_a_body_is_refused(ours: World, path: str):
    organization = make_organization()
    user = make_user(organization, Role.ADMIN)
    token = make_token(user, organization)
    project = make_project(organization)
    own = {"project": str(project.pk), "slug": project.slug, "user": str(user.pk)}
    before = state_of(ours.organization), state_of(organization)

    answer = Client().post(
        path,
        json.dumps(FOREIGN_BODIES[path](own, ours)),
        content_type="application/json",
        headers={"Authorization": f"Bearer {token}"},
    )

    assert answer.status_code in (400, 404, 422), body_of(answer)
    assert CANARY not in body_of(answer).replace(f"{CANARY}-project", "")
    assert without_uses(state_of(organization)) == without_uses(before[1])
    assert state_of(ours.organization) == before[0]


def without_uses(state: dict[str, Any]) -> dict[str, Any]:
    """The token's last use and the golden set of an empty pipeline are no leak."""
    return {name: value for name, value in state.items() if name not in ("ApiToken", "IdempotencyKey")}


def test_forms_refuse_foreign_ids(ours: World):
    organization = make_organization()
    client, _ = person(organization, Role.ADMIN)
    before = state_of(ours.organization), state_of(organization)
    forms = {
        "/test-sets/new/": {"name": "x", "kind": "Single-Turn", "project": ours.rows["project"].pk},
        "/evaluators/new/": {"name": "x", "who": "ai", "value_type": "percentage", "project": ours.rows["project"].pk},
        "/endpoints/new/": {"name": "x", "project": ours.rows["project"].pk, "url": "https://example.com"},
        "/configurations/new/": {"name": "x", "project": ours.rows["project"].pk},
        "/assignments/": {"result": ours.rows["result"].pk, "reviewers": ours.admin.pk},
        "/comments/": {"entity_type": "result", "entity_id": ours.rows["result"].pk, "result": ours.rows["result"].pk,
                       "text": "x"},
    }  # fmt: skip

    answers = {path: client.post(path, data) for path, data in forms.items()}

    # 200: the form again, which asks for a project first.
    accepted = {path: a.status_code for path, a in answers.items() if a.status_code not in (200, 400, 404, 422)}
    assert accepted == {}
    assert [path for path, answer in answers.items() if CANARY in body_of(answer)] == []
    assert (state_of(ours.organization), state_of(organization)) == before


def test_reading_changes_nothing(ours: World):
    """Whoever follows a link, or whose browser does, has done nothing yet."""
    client, token = person(ours.organization, Role.ADMIN)
    client.force_login(ours.admin)
    changed = []

    for address in addresses():
        before = without_uses(state_of(ours.organization))
        ask(client, "GET", address, path_to(address, ours.rows), token)
        if without_uses(state_of(ours.organization)) != before:
            changed.append(address.name)

    assert sorted(changed) == sorted(STARTS)


STARTS = {  # what reading does change, and why
    "results:review": "opening a review that one is asked for starts it, so that nobody takes it back meanwhile",
    "gentrace:pipelines": "a project that was made by hand gets its golden set when Gentrace's clients ask for it",
}


def test_a_page_is_changed_with_its_forms_token_only(ours: World):
    """Another site's form has the cookies, but not the token."""
    before = state_of(ours.organization)
    client = Client(enforce_csrf_checks=True)
    client.force_login(ours.admin)

    def check(address: Address, method: str) -> str | None:
        if method == "GET" or address.name.startswith(("gentrace:", "rhesis:", "demo-chat")):
            return None  # no cookie opens those
        path = path_to(address, ours.rows)
        if address.name.startswith("api:"):
            answer = client.generic(method, path, b"{}", content_type="application/json")
        else:
            answer = client.generic(method, path, b"", content_type="application/x-www-form-urlencoded")
        return None if answer.status_code in (403, 404, 405, 415) else str(answer.status_code)

    assert every(check) == []
    assert state_of(ours.organization) == before


def test_every_row_of_an_organisation_is_fetched_by_who_asks(ours: World):
    stranger = make_actor(role=Role.ADMIN)
    tenants = [model for model in apps.get_models() if any(f.name == "organization" for f in model._meta.local_fields)]
    held = [model for model in tenants if model is not Membership]

    assert {model.__name__ for model in held if not hasattr(model._default_manager, "visible_to")} == set()
    assert {model.__name__ for model in held if model._default_manager.visible_to(stranger).exists()} == set()
    assert {model.__name__ for model in held if model._default_manager.visible_to(None).exists()} == set()


def test_searches_of_a_stranger_find_nothing_of_ours(ours: World):
    client, token = person(make_organization(), Role.ADMIN)
    word = CANARY[:5]
    asked = [f"/runs/?q={word}", f"/results/?q={word}", f"/cases/?q={word}", f"/projects/?q={word}",
             f"/test-sets/?q={word}", f"/evaluators/?q={word}", f"/api/results/?q={word}", f"/api/runs/?q={word}",
             f"/runs/?project={CANARY}-project", "/reviews/", "/api/members/", "/api/tags/"]  # fmt: skip

    told = []
    for path in asked:
        headers = {"Authorization": f"Bearer {token}"} if path.startswith("/api/") else {}
        answer = client.get(path, headers=headers)
        assert answer.status_code in (200, 400, 404), path
        if CANARY in body_of(answer).replace(f"{CANARY}-project", ""):
            told.append(path)

    assert told == []


def test_the_world_shows_its_canary_to_its_own(ours: World):
    """Or the tests above would find nothing whatever leaked."""
    client, token = person(ours.organization, Role.ADMIN)

    seen = {
        address.name
        for address in addresses()
        if address.name not in OPEN
        and address.rule("GET")
        and CANARY in body_of(ask(client, "GET", address, path_to(address, ours.rows), token))
    }

    assert len(seen) > 60
    assert ReviewAssignment.objects.filter(reviewer=ours.admin).exists()
