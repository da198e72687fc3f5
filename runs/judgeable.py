"""Which evaluators EvalHub's workers can apply."""

from __future__ import annotations

from typing import Any

from django.conf import settings

from runs.chatting import NO_JUDGE
from runs.checks import check_of, problems_of
from runs.models import Endpoint, Evaluator


def cannot_judge(who: str, definition: Any, judge: Endpoint | None = None) -> str:
    """Why workers cannot judge with it, as a sentence; empty where they can, or where a person is asked.

    ``judge`` is the model that is asked where the evaluator names none.
    """
    known: dict[str, Any] = definition if isinstance(definition, dict) else {}
    elsewhere = known.get("judge")
    if who == Evaluator.Who.HEURISTIC:
        if elsewhere and not check_of(known):
            return f"Judged elsewhere ({elsewhere}): EvalHub cannot apply it."
        problems = problems_of(known)
        return problems[0] if problems else ""
    if who == Evaluator.Who.AI:
        if elsewhere and not known.get("endpoint"):
            return f"Judged elsewhere ({elsewhere}): EvalHub cannot ask it."
        return "" if known.get("endpoint") or judge or settings.JUDGE_URL else NO_JUDGE
    if who == Evaluator.Who.CLASSIFIER:
        return "EvalHub cannot run classifiers: send their evaluations to it."
    return ""
