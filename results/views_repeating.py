"""Going over a run once more, from its page."""

from __future__ import annotations

from typing import Any

from django import forms
from django.http import HttpResponse, QueryDict
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_POST

from evalhub.accounts.access import requires
from evalhub.accounts.actor import Actor, MemberRequest
from evalhub.web.errors import in_time
from evalhub.web.pages import go_to, render_page, say
from evalhub.web.parts import Link
from results.models import Evaluation, Rollup
from results.repeating import launch_failed, score_again
from runs.forms import offered
from runs.judgeable import cannot_judge
from runs.launching import CannotLaunch, launch_again
from runs.models import Evaluator, TestRun
from runs.views_setup import find


@requires("launch")
@require_POST
def run_repeat(request: MemberRequest, run_id: str) -> HttpResponse:
    run = find_run(request, run_id)
    again = launch_failed if request.POST.get("cases") == "failed" else launch_again
    new = again(run, by=request.actor, via=TestRun.Via.PAGE)
    say(request, f"Launched {new}: {new.planned_count:,} result{'s' if new.planned_count != 1 else ''} to come.")
    return go_to(request, "results:run-detail", new.pk)


class ScoringForm(forms.Form):
    def __init__(self, data: QueryDict | None = None, *, actor: Actor, run: TestRun) -> None:
        super().__init__(data, label_suffix="")
        rows = Evaluator.objects.visible_to(actor).exclude(who=Evaluator.Who.HUMAN)
        judged = Rollup.objects.filter(run=run).values_list("evaluator_id", flat=True)
        self.fields["evaluators"] = forms.ModelMultipleChoiceField(
            offered(rows, run.project_id, *judged), error_messages={"required": "Choose at least one evaluator."}
        )

    def rows(self, run: TestRun) -> list[dict[str, Any]]:
        chosen = {str(value) for value in (self["evaluators"].value() or ())}
        there = set(
            Evaluation.objects.filter(run=run, source=Evaluation.Source.MACHINE).values_list("evaluator_id", flat=True)
        )
        return [
            {
                "evaluator": one,
                "chosen": str(one.pk) in chosen,
                "there": one.pk in there,
                "cannot": cannot_judge(one.who, one.definition),
            }
            for one in self.fields["evaluators"].queryset  # type: ignore[attr-defined]
        ]


@requires("launch")
@require_http_methods(["GET", "HEAD", "POST"])
def run_rescore(request: MemberRequest, run_id: str) -> HttpResponse:
    run = find_run(request, run_id)
    here = reverse("results:run-detail", args=[run.pk])
    form = ScoringForm(request.POST if request.method == "POST" else None, actor=request.actor, run=run)
    refusal: CannotLaunch | None = None
    if request.method == "POST" and form.is_valid():
        try:
            _, results = score_again(run, list(form.cleaned_data["evaluators"]), by=request.actor)
        except CannotLaunch as reason:
            form.add_error(None, str(reason))
            refusal = reason
        else:
            say(request, f"Workers judge {results:,} results again. The newest judgements count as they arrive.")
            return go_to(request, here)
    context = {
        "run": run,
        "form": form,
        "rows": form.rows(run),
        "crumbs": [Link("Runs", reverse("runs:run-list")), Link(f"#{run.number}", here)],
        "current_project": run.project,
        "cancel_url": here,
        "submit": "Judge again",
    }
    response = render_page(request, "results/run_rescore.html", context, status=422 if form.errors else 200)
    return in_time(response, refusal)


def find_run(request: MemberRequest, run_id: str) -> TestRun:
    runs = TestRun.objects.visible_to(request.actor)
    return find(runs.select_related("project", "configuration__project"), run_id)
