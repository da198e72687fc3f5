"""The form that launches a run: what the configuration says, for this once changed."""

from __future__ import annotations

from typing import Any, ClassVar

from django import forms
from django.http import QueryDict

from evalhub.accounts.actor import Actor
from runs.asking import MOST_RETRIES
from runs.chatting import default_model
from runs.configurations import evaluators_of
from runs.fields import Whole
from runs.forms import offered
from runs.judgeable import cannot_judge
from runs.launching import LONGEST_TIMEOUT, MOST_CONCURRENCY, MOST_REPETITIONS
from runs.models import Category, Endpoint, Evaluator, Prompt, TestConfiguration, TestSet, Topic

MOST_PROMPTS = 200
MODELS = (
    ("judge", "Judge model", "Asked where an AI evaluator names none."),
    ("simulator", "Simulated user", "Plays conversations that have a goal."),
)


class LaunchForm(forms.Form):
    NUMBERS: ClassVar[tuple[str, ...]] = ("repetitions", "concurrency", "timeout", "retry_count")

    name = forms.CharField(max_length=300)
    repetitions = Whole(
        required=False, min_value=1, max_value=MOST_REPETITIONS, help_text="How often each case is asked."
    )
    concurrency = Whole(
        required=False,
        min_value=1,
        max_value=MOST_CONCURRENCY,
        label="Calls at once",
        help_text="Never more than the endpoint takes.",
    )
    timeout = Whole(required=False, min_value=1, max_value=LONGEST_TIMEOUT, label="Timeout, s")
    retry_count = Whole(required=False, min_value=0, max_value=MOST_RETRIES, label="Retries")
    branch = forms.CharField(max_length=200, required=False)
    commit = forms.CharField(max_length=200, required=False)

    def __init__(self, data: QueryDict | None = None, *, actor: Actor, configuration: TestConfiguration) -> None:
        self.actor, self.configuration = actor, configuration
        parameters = configuration.parameters if isinstance(configuration.parameters, dict) else {}
        initial: dict[str, Any] = {
            "name": configuration.name,
            "endpoint": configuration.endpoint_id,
            "test_set": configuration.test_set_id,
            "category": configuration.category_id,
            "topic": configuration.topic_id,
            "prompt": configuration.prompt_id,
            "evaluators": [evaluator.pk for evaluator in evaluators_of(configuration)],
            **{name: parameters.get(name) for name in self.NUMBERS},
        }
        super().__init__(data, initial=initial, label_suffix="")
        self.offer()

    def offer(self) -> None:
        configuration, actor = self.configuration, self.actor
        project = configuration.project_id
        choose = forms.ModelChoiceField
        endpoints = Endpoint.objects.visible_to(actor)
        test_sets = TestSet.objects.visible_to(actor)
        evaluators = Evaluator.objects.visible_to(actor)
        models = offered(endpoints.filter(request_mapping__has_key="model"), project)
        used = [evaluator.pk for evaluator in evaluators_of(configuration)]
        of_cases: dict[str, Any] = {"cases__project": project, "cases__deleted_at__isnull": True}
        self.fields["endpoint"] = choose(
            offered(endpoints, project, configuration.endpoint_id), empty_label="Choose an endpoint"
        )
        self.fields["test_set"] = choose(
            offered(test_sets, project, configuration.test_set_id), empty_label="Choose a test set", label="Test set"
        )
        self.fields["evaluators"] = forms.ModelMultipleChoiceField(offered(evaluators, project, *used), required=False)
        if models.exists():
            usual = "The installation’s" if default_model() else "None"
            for name, label, hint in MODELS:
                self.fields[name] = choose(models, required=False, empty_label=usual, label=label, help_text=hint)
        for name, model in (("category", Category), ("topic", Topic)):
            rows = model.objects.visible_to(actor).filter(**of_cases).distinct()
            self.fields[name] = choose(rows, required=False, empty_label="All")
        prompts = Prompt.objects.visible_to(actor).filter(**of_cases).distinct().order_by("-id")
        ids = list(prompts.values_list("pk", flat=True)[:MOST_PROMPTS])
        of_configuration = [configuration.prompt_id] if configuration.prompt_id else []
        known = Prompt.objects.filter(pk__in=[*ids, *of_configuration])
        self.fields["prompt"] = choose(known, required=False, empty_label="All")

    def evaluator_rows(self) -> list[dict[str, Any]]:
        """Every evaluator that can be chosen, with the reason why EvalHub cannot apply it."""
        chosen = {str(value) for value in (self["evaluators"].value() or ())}
        order = {evaluator.pk: n for n, evaluator in enumerate(evaluators_of(self.configuration))}
        rows = sorted(
            self.fields["evaluators"].queryset,  # type: ignore[attr-defined]
            key=lambda evaluator: (order.get(evaluator.pk, len(order)), evaluator.name.lower()),
        )
        return [
            {"evaluator": one, "chosen": str(one.pk) in chosen, "cannot": cannot_judge(one.who, one.definition)}
            for one in rows
        ]

    def arguments(self) -> dict[str, Any]:
        """What the verb takes. The configuration's own evaluators are left to it: they keep their order."""
        cleaned = dict(self.cleaned_data)
        cleaned["parameters"] = {name: cleaned[name] for name in self.NUMBERS}  # what was cleared, too
        own = evaluators_of(self.configuration)
        chosen = list(cleaned.pop("evaluators"))
        if {one.pk for one in chosen} != {one.pk for one in own}:
            cleaned["evaluators"] = chosen
        return cleaned
