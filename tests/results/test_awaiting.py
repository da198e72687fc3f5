"""Evaluations that arrive pending: judged by whoever can, and never left pending or passed in silence."""

from __future__ import annotations

import pytest

from results.awaiting import expect_judgements, judge_pending
from results.models import Evaluation
from results.records import Judgement
from results.recounting import recount
from tests.factories import make_evaluator, make_project, make_result, make_run

pytestmark = pytest.mark.django_db


def test_pending_evaluations_are_judged_by_their_own_check_or_end_as_errors():
    project = make_project()
    run = make_run(project)
    check = make_evaluator(
        project, name="says", who="heuristic", threshold=None,
        definition={"heuristic": "contains", "settings": {"values": ["answer"]}},
    )  # fmt: skip
    model = make_evaluator(project, name="judge", who="ai", definition={"prompt": "?"})
    person = make_evaluator(project, name="person", who="human")
    result = make_result(
        run,
        evaluations=[
            Judgement(evaluator=check, state="pending"),
            Judgement(evaluator=model, state="pending"),
            Judgement(evaluator=person, state="pending", source="human"),
        ],
    )

    expect_judgements(run)
    judged = judge_pending(run.pk)

    rows = Evaluation.objects.filter(result=result).order_by("evaluator__name")
    assert judged == 2
    assert [(row.evaluator.name, row.state, row.passed, row.error) for row in rows] == [
        ("judge", "error", None, "No judge model is set up for this evaluator, so nothing could judge."),
        ("person", "pending", None, ""),
        ("says", "scored", True, ""),
    ]
    assert judge_pending(run.pk) == 0
    assert recount(run.pk, repair=False) == []
