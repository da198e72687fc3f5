import html
import json
import re
from unittest import mock

import pytest
from django.core.management import call_command
from django.test import Client
from django.urls import get_resolver
from jsonschema import Draft202012Validator

from evalhub.accounts.rights import RIGHTS
from evalhub.api import examples
from evalhub.api.entrance import document
from evalhub.api.operations import ApiView
from evalhub.api.shapes import COMPONENTS, Shape

DOCUMENT = document()
FORMATS = Draft202012Validator.FORMAT_CHECKER
OPERATIONS = [
    (path, method, operation) for path, methods in DOCUMENT["paths"].items() for method, operation in methods.items()
]


def test_the_document_is_valid_openapi(tmp_path):
    call_command("spectacular", "--validate", "--fail-on-warn", file=str(tmp_path / "schema.yml"))


def test_the_document_is_served_to_everybody(db):
    response = Client().get("/api/schema/")

    assert response.status_code == 200
    assert response["Content-Type"] == "application/json"
    assert response.json() == DOCUMENT


def test_every_view_of_the_api_is_in_the_document():
    def views(patterns, prefix=""):
        for pattern in patterns:
            route = prefix + str(pattern.pattern)
            if hasattr(pattern, "url_patterns"):
                yield from views(pattern.url_patterns, route)
            else:
                view = getattr(pattern.callback, "cls", None)
                if view is not None and issubclass(view, ApiView) and view.operations:
                    yield re.sub(r"<\w+:(\w+)>", r"{\1}", f"/{route}"), sorted(view.operations)

    served = dict(views(get_resolver().url_patterns))

    assert served == {path: sorted(map(str.upper, methods)) for path, methods in DOCUMENT["paths"].items()}


@pytest.mark.parametrize(("path", "method", "operation"), OPERATIONS, ids=lambda value: str(value)[:60])
def test_an_operation_says_everything(path, method, operation):
    codes = set(operation["responses"])

    assert operation["summary"]
    assert codes >= {"400", "406", "500", "503"}
    assert (codes >= {"401", "403", "429"}) == bool(operation["security"])
    assert ("404" in codes) == ("{" in path)
    assert ("requestBody" not in operation) or codes >= {"413", "415"}
    for code, response in operation["responses"].items():
        if int(code) >= 400:
            assert list(response["content"]) == ["application/problem+json"]


def test_nothing_secret_is_a_filter_or_an_order():
    words = re.compile("password|token|secret|key|digest", re.IGNORECASE)
    queries = [one for _, _, operation in OPERATIONS for one in operation["parameters"] if one["in"] == "query"]
    names = {one["name"] for one in queries}
    orders = {order for one in queries if one["name"] == "sort" for order in one["schema"]["enum"]}

    assert [name for name in sorted(names | orders) if words.search(name)] == []
    assert [name for name in sorted(names | orders) if "__" in name] == []


def test_operations_have_names_of_their_own():
    names = [operation["operationId"] for _, _, operation in OPERATIONS]

    assert sorted(names) == sorted(set(names))


def test_examples_are_bodies_that_are_accepted():
    wrong = {}
    for path, method, operation in OPERATIONS:
        for media, content in operation.get("requestBody", {}).get("content", {}).items():
            if "example" in content and media == "application/json":
                shape = COMPONENTS[content["schema"]["$ref"].rpartition("/")[2]]
                assert isinstance(shape, Shape)
                try:
                    shape.read(content["example"])
                except Exception as error:
                    wrong[method, path] = error

    assert wrong == {}


def test_every_body_that_is_sent_has_an_example():
    bare = [
        (method, path)
        for path, method, operation in OPERATIONS
        for media, content in operation.get("requestBody", {}).get("content", {}).items()
        if "example" not in content
    ]

    assert bare == []


def test_every_answer_in_json_has_an_example():
    bare = [
        (method, path)
        for path, method, operation in OPERATIONS
        for code, response in operation["responses"].items()
        if code < "400" and "application/json" in response.get("content", {})
        if response["content"]["application/json"]["examples"]["usual"]["$ref"].rpartition("/")[2]
        not in DOCUMENT["components"]["examples"]
    ]

    assert bare == []


@pytest.mark.parametrize("name", DOCUMENT["components"]["examples"])
def test_an_example_is_what_its_schema_describes(name):
    example = json.loads(json.dumps(DOCUMENT["components"]["examples"][name]["value"]))
    schema = {"$ref": f"#/components/schemas/{name}", "components": DOCUMENT["components"]}

    assert [error.message for error in Draft202012Validator(schema, format_checker=FORMATS).iter_errors(example)] == []


def test_no_value_of_the_examples_is_left_over():
    used = set()

    class Watched(dict):
        def __getitem__(self, key):
            used.add(key)
            return dict.__getitem__(self, key)

    with mock.patch.object(examples, "VALUES", Watched(examples.VALUES)):
        for name in DOCUMENT["components"]["examples"]:
            examples.example_of(name, DOCUMENT["components"]["schemas"])

    assert sorted(examples.VALUES.keys() - used) == []


def test_every_right_exists():
    def actions(patterns):
        for pattern in patterns:
            if hasattr(pattern, "url_patterns"):
                yield from actions(pattern.url_patterns)
            elif issubclass(getattr(pattern.callback, "cls", object), ApiView):
                yield from (one.action for one in pattern.callback.cls.operations.values())

    assert {action for action in actions(get_resolver().url_patterns) if action} <= set(RIGHTS)


def test_the_page_shows_every_operation_and_object_without_a_foreign_script(db):
    response = Client().get("/api/docs/")

    page = response.content.decode()
    assert response.status_code == 200
    assert "script-src 'self'" in response["Content-Security-Policy"]
    assert all(f'id="{operation["operationId"]}"' in page for _, _, operation in OPERATIONS)
    anchors = set(re.findall(r'href="#([^"]+)"', page))
    assert anchors <= set(re.findall(r'id="([^"]+)"', page))
    assert {"invalid", "conflict", "stale", "key-reused", "throttled"} <= set(re.findall(r'id="([^"]+)"', page))
    assert "curl \\\n  -H &quot;Authorization: Bearer $EVALHUB_TOKEN&quot; \\\n  http://testserver/api/runs/" in page
    assert re.findall(r'<script[^>]* src="(?!/static/)', page) == []
    assert not re.search(r' (style|on[a-z]+)="', page)


def test_the_quick_start_is_followed_to_the_letter(api):
    page = html.unescape(Client().get("/api/docs/").content.decode())
    start = page[page.index('aria-label="Quick start"') : page.index('id="rules"')]
    commands = re.findall(r"curl -X (\w+) http://testserver(\S+) .*?-d '(.*?)'", start, re.DOTALL)

    answers = [api.call(method, path, json.loads(body)) for method, path, body in commands]

    assert [(answer.status_code, path) for answer, (_, path, _) in zip(answers, commands, strict=True)] == [
        (201, "/api/projects/"),
        (201, "/api/runs/"),
        (201, "/api/runs/nightly-42/results/"),
        (200, "/api/runs/nightly-42/"),
    ]
