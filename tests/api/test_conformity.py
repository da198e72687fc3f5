"""Requests that a machine makes up from the OpenAPI document: no 5xx, and no answer that the document does not know."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import schemathesis
from django.core.signals import request_finished, request_started
from django.core.wsgi import get_wsgi_application
from django.db import close_old_connections
from hypothesis import HealthCheck, Phase, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi import checks

from evalhub.accounts.rights import Role
from evalhub.api.entrance import document
from results.models import ReviewAssignment, ReviewRound
from runs.models import Comment, SavedView, Tag
from tests.api.conftest import Api
from tests.factories import (
    make_case,
    make_configuration,
    make_endpoint,
    make_evaluator,
    make_organization,
    make_project,
    make_result,
    make_run,
    make_test_set,
)

CHECKS = [
    not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
    checks.unsupported_method,
]
EXAMPLES = 8  # of each operation: the whole must stay under a minute

serve = get_wsgi_application()


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
    """The application inside the test's transaction: connections stay open between requests."""
    signals = (request_started, request_finished)
    for signal in signals:
        signal.disconnect(close_old_connections)
    try:
        response = serve(environ, start_response)
        try:
            return list(response)
        finally:
            response.close()
    finally:
        for signal in signals:
            signal.connect(close_old_connections)


schema = schemathesis.openapi.from_dict(document())
schema.app = app
schema.config.phases.coverage.enabled = False  # systematic and slow; by hand: enable it, and negative_data_rejection


@pytest.fixture
def api(db, settings, tmp_path) -> Api:
    """An admin's, with one of everything: each is named `one`."""
    settings.MEDIA_ROOT = tmp_path
    api = Api(make_organization(), Role.ADMIN)
    project = make_project(api.organization, external_id="one", slug="one")
    case = make_case(project, make_test_set(project, external_id="one"), external_id="one")
    make_endpoint(project, external_id="one")
    make_evaluator(project, external_id="one", name="one")
    make_configuration(project, external_id="one")
    result = make_result(make_run(project, external_id="one"), external_id="one", case=case.pk)
    review_round = ReviewRound.objects.create(
        organization=api.organization, project=project, name="one", external_id="one", seed=1
    )
    assignment = ReviewAssignment.objects.create(
        organization=api.organization, round=review_round, result=result, reviewer=api.user
    )
    comment = Comment.objects.create(
        organization=api.organization, entity_type="run", entity_id=result.run_id, author=api.user, text="x"
    )
    tag = Tag.objects.create(organization=api.organization, name="one", external_id="one")
    view = SavedView.objects.create(organization=api.organization, user=api.user, page="runs", name="one")
    api.ids = {
        "assignments": assignment.pk,
        "comments": comment.pk,
        "tags": tag.pk,
        "views": view.pk,
        "members": api.user.pk,
    }
    return api


@schema.parametrize()
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
def test_the_api_is_what_its_document_says(case, api):
    resource = case.path.removeprefix("/api/").split("/")[0]
    parameters = dict(case.path_parameters or {})
    if "id" in parameters and len(parameters["id"]) % 2:  # half of the requests are about something that exists
        parameters["id"] = str(api.ids.get(resource, "one"))
        case.path_parameters = parameters

    case.call_and_validate(headers={"Authorization": f"Bearer {api.token}"}, checks=CHECKS)
