"""Addresses below /api/, all without a trailing slash. A base URL with one makes the clients ask for /api//v1/..."""

from django.urls import URLPattern, re_path

from evalhub.compat.gentrace import views
from evalhub.compat.gentrace.door import Verb, door, nowhere

ID = r"(?P<ident>[^/]+)"


def at(pattern: str, name: str, **verbs: Verb) -> URLPattern:
    return re_path(rf"^(?:/)*{pattern}$", door(**verbs), name=name)


app_name = "gentrace"
urlpatterns = [
    at("v1/pipelines", "pipelines", GET=views.pipelines_v1),
    at("v2/pipelines", "pipelines-v2", GET=views.pipelines_v2),
    at("v2/evaluators", "evaluators", GET=views.evaluators_v2),
    at("v2/folders", "folders", GET=views.folders),
    at(f"v2/folders/{ID}", "folder", GET=views.folder),
    at(
        "v1/test-case",
        "test-cases",
        GET=views.test_cases_v1,
        POST=views.create_test_cases,
        PATCH=views.update_test_case,
    ),
    at("v2/test-cases", "test-cases-v2", GET=views.test_cases_v2),
    at(f"v2/test-cases/{ID}", "test-case", GET=views.test_case, DELETE=views.remove_test_case),
    at("v1/test-result", "test-results", GET=views.test_results_v1, POST=views.submit_runners),
    at("v1/test-result/status", "test-result-status", GET=views.test_result_status),
    at(f"v1/test-result/{ID}", "test-result", GET=views.test_result, POST=views.update_runners),
    at("v1/test-result-simple", "test-result-simple", POST=views.submit_simple),
    at(f"v1/test-result-simple/{ID}", "test-result-simple-update", POST=views.update_simple),
    at("v2/test-results", "test-results-v2", GET=views.test_results_v2),
    at("v2/evaluations/bulk", "evaluations-bulk", POST=views.create_evaluations),
    at("v2/evaluations", "evaluations", GET=views.evaluations_v2),
    at("v3/evaluations", "evaluations-v3", GET=views.evaluations_v3),
    at("v2/datasets", "datasets", GET=views.datasets, POST=views.create_dataset),
    at(f"v2/datasets/{ID}", "dataset", GET=views.dataset, POST=views.update_dataset),
    at("v1/run", "run-create", POST=views.create_run),
    at(f"v2/runs/{ID}", "run", GET=views.run),
    at("v1/feedback", "feedback-create-v1", POST=views.create_feedback_v1),
    at("v2/feedback", "feedback-create", POST=views.create_feedback_v2),
    at(f"v2/feedback/{ID}", "feedback", GET=views.feedback, PATCH=views.update_feedback),
    at("v1/files/upload", "file-upload", POST=views.upload),
    at(r"v[1-4](?:/.*)?", "nowhere", **dict.fromkeys(("GET", "POST", "PUT", "PATCH", "DELETE"), nowhere)),
]
