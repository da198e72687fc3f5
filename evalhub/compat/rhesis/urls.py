"""Addresses below /rhesis, each with and without a slash at its end: the SDK follows no redirect with a POST."""

from __future__ import annotations

from typing import Any

from django.urls import URLPattern, re_path

from evalhub.compat.rhesis import (
    executing,
    insights,
    lookups,
    models,
    notes,
    reviews,
    set_up,
    stats,
    submitting,
    test_results,
    test_runs,
    test_sets,
)
from evalhub.compat.rhesis.door import Verb, door, no_experiments, nowhere
from evalhub.compat.rhesis.test_sets import CATEGORIES, REQUIREMENTS, TOPICS

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")


def at(pattern: str, name: str, **verbs: Verb) -> URLPattern:
    """``<ident>`` is one part of the path."""
    for variable in ("ident", "review", "metric", "endpoint", "kind", "emoji", "tag_ident"):
        pattern = pattern.replace(f"<{variable}>", f"(?P<{variable}>[^/]+)")
    return re_path(rf"^{pattern}/?$", door(verbs), name=name)


def both(pattern: str, name: str, many: tuple[Verb, Verb], one: tuple[Verb, Verb, Verb]) -> list[URLPattern]:
    """List and create; read, change and delete."""
    return [
        at(pattern, f"{name}-list", GET=many[0], POST=many[1]),
        at(f"{pattern}/<ident>", name, GET=one[0], PUT=one[1], PATCH=one[1], DELETE=one[2]),
    ]


def of_words(pattern: str, name: str, words: Any) -> list[URLPattern]:
    return both(pattern, name, (words.list, words.create), (words.read, words.change, words.remove))


def requirements(pattern: str, name: str) -> list[URLPattern]:
    """They were called behaviors before 0.13."""
    return [
        *of_words(pattern, name, REQUIREMENTS),
        at(f"{pattern}/<ident>/metrics", f"{name}-metrics", GET=set_up.metrics_of_requirement),
        at(
            f"{pattern}/<ident>/metrics/<metric>",
            f"{name}-metric",
            POST=set_up.add_metric_to_requirement,
            DELETE=set_up.remove_metric_from_requirement,
        ),
    ]


app_name = "rhesis"
urlpatterns = [
    re_path(r"^health/?$", door({"GET": lookups.health}, open_to_all=True), name="health"),
    at("tokens/current", "token", GET=lookups.current_token),
    # test runs
    at("test_runs/stats", "run-stats", GET=stats.run_stats),
    *both(
        "test_runs",
        "run",
        (test_runs.list_runs, test_runs.create_run),
        (test_runs.read_run, test_runs.change_run, test_runs.delete_run),
    ),
    at("test_runs/<ident>/cancel", "run-cancel", POST=test_runs.cancel),
    at("test_runs/<ident>/rescore", "run-rescore", POST=executing.rescore_run),
    at("test_runs/<ident>/download", "run-download", GET=test_runs.download),
    at("test_runs/<ident>/metrics", "run-metrics", GET=test_runs.metric_names),
    at("test_runs/<ident>/(?:requirements|behaviors)", "run-requirements", GET=test_runs.requirements),
    at("test_runs/<ident>/traces", "run-traces", GET=test_runs.traces),
    at("telemetry/traces", "traces", GET=test_runs.no_traces),
    # test results
    at("test_results/stats", "result-stats", GET=stats.result_stats),
    *both(
        "test_results",
        "result",
        (test_results.list_results, submitting.create_result),
        (test_results.read_result, submitting.change_result, submitting.remove_result),
    ),
    at("test_results/<ident>/files", "result-files", GET=test_results.files),
    at("test_results/<ident>/reviews", "result-reviews", GET=reviews.list_reviews, POST=reviews.create_review),
    at(
        "test_results/<ident>/reviews/<review>",
        "result-review",
        GET=reviews.read_review,
        PUT=reviews.change_review,
        PATCH=reviews.change_review,
        DELETE=reviews.remove_review,
    ),
    at("annotations/entity/<kind>/<ident>", "result-annotations", GET=reviews.annotations_of),
    *both(
        "annotations",
        "annotation",
        (reviews.list_annotations, reviews.create_annotation),
        (reviews.read_annotation, reviews.change_any, reviews.remove_annotation),
    ),
    # what is set up
    *both(
        "test_configurations",
        "configuration",
        (set_up.list_configurations, set_up.create_one_configuration),
        (set_up.read_configuration, set_up.change_one_configuration, set_up.remove_configuration),
    ),
    at("test_configurations/<ident>/execute", "configuration-execute", POST=executing.execute_configuration),
    *both(
        "projects",
        "project",
        (set_up.list_projects, set_up.create_one_project),
        (set_up.read_project, set_up.change_one_project, set_up.remove_project),
    ),
    at("endpoints/auto-configure", "endpoint-auto-configure", POST=executing.auto_configure),
    *both(
        "endpoints",
        "endpoint",
        (set_up.list_endpoints, set_up.create_one_endpoint),
        (set_up.read_endpoint, set_up.change_one_endpoint, set_up.remove_endpoint),
    ),
    at("endpoints/<ident>/invoke", "endpoint-invoke", POST=executing.invoke),
    *both(
        "metrics",
        "metric",
        (set_up.list_metrics, set_up.create_metric),
        (set_up.read_metric, set_up.change_metric, set_up.remove_metric),
    ),
    *both(
        "models",
        "model",
        (models.list_models, models.set_up_elsewhere),
        (models.read_model, models.change_model, models.change_model),
    ),
    # test sets, tests and prompts
    at("test_sets/bulk", "test-set-bulk", POST=test_sets.create_set_with_tests),
    *both(
        "test_sets",
        "test-set",
        (test_sets.list_sets, test_sets.create_set),
        (test_sets.read_set, test_sets.change_set, test_sets.remove_set),
    ),
    at("test_sets/<ident>/tests", "test-set-tests", GET=test_sets.tests_of_set),
    at("test_sets/<ident>/associate", "test-set-associate", POST=test_sets.associate),
    at("test_sets/<ident>/disassociate", "test-set-disassociate", POST=test_sets.disassociate),
    at("test_sets/<ident>/execute/<endpoint>", "test-set-execute", POST=executing.execute_set),
    at("test_sets/<ident>/last-run/<endpoint>", "test-set-last-run", GET=executing.last_run),
    at("test_sets/<ident>/metrics", "test-set-metrics", GET=set_up.metrics_of_set),
    at(
        "test_sets/<ident>/metrics/<metric>",
        "test-set-metric",
        POST=set_up.add_metric_to_set,
        DELETE=set_up.remove_metric_from_set,
    ),
    at("tests/execute", "test-execute", POST=executing.execute_test),
    *both(
        "tests",
        "test",
        (test_sets.list_tests, test_sets.create_test),
        (test_sets.read_test, test_sets.change_test, test_sets.remove_test),
    ),
    at("tests/<ident>/files", "test-files", GET=test_sets.files_of_test),
    *both(
        "prompts",
        "prompt",
        (test_sets.list_prompts, test_sets.create_prompt),
        (test_sets.read_prompt, test_sets.change_prompt, test_sets.remove_prompt),
    ),
    *of_words("categories", "category", CATEGORIES),
    *of_words("topics", "topic", TOPICS),
    *requirements("requirements", "requirement"),
    *requirements("behaviors", "behavior"),
    at("preflight-checks", "preflight", POST=executing.preflight),
    # numbers
    at("insights", "insights", GET=insights.insights),
    at("insights/ids", "insight-ids", GET=insights.insight_ids),
    at("insights/query", "insight-query", POST=insights.insight_queries),
    # notes
    at("tasks/<kind>/<ident>", "entity-tasks", GET=notes.tasks_of),
    *both(
        "tasks", "task", (notes.list_tasks, notes.create_task), (notes.read_task, notes.change_task, notes.remove_task)
    ),
    at("comments/entity/<kind>/<ident>", "entity-comments", GET=notes.comments_of),
    at("comments/<ident>/emoji/<emoji>", "comment-emoji", POST=notes.add_emoji, DELETE=notes.remove_emoji),
    *both(
        "comments",
        "comment",
        (notes.list_comments, notes.create_comment),
        (notes.read_comment, notes.change_comment, notes.remove_comment),
    ),
    at("tags/<kind>/<ident>", "entity-tags", POST=notes.assign_tag),
    at("tags/<kind>/<ident>/<tag_ident>", "entity-tag", DELETE=notes.unassign_tag),
    *both("tags", "tag", (notes.list_tags, notes.create_tag), (notes.read_tag, notes.change_tag, notes.remove_tag)),
    at("files", "file-list", GET=notes.list_files, POST=notes.upload),
    at("files/<ident>", "file", GET=notes.read_file, DELETE=notes.remove_file),
    at("files/<ident>/content", "file-content", GET=notes.download),
    # lookups
    *both(
        "statuses",
        "status",
        (lookups.list_statuses, lookups.create_status),
        (lookups.read_status, lookups.change_status, lookups.remove_status),
    ),
    *both(
        "type_lookups",
        "value",
        (lookups.list_values, lookups.create_value),
        (lookups.read_value, lookups.change_value, lookups.remove_value),
    ),
    at("users/settings", "settings", PATCH=models.set_up_elsewhere),
    at("users", "user-list", GET=lookups.list_users),
    at("users/<ident>", "user", GET=lookups.read_user),
    at(
        "(?:projects/[^/]+/)?(?:experiments|parameters)(?:/.*)?",
        "experiments",
        **dict.fromkeys(METHODS, no_experiments),
    ),
    at(".*", "nowhere", **dict.fromkeys(METHODS, nowhere)),
]
