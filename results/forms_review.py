"""What leads and reviewers fill in: the dealing of a round, and one review."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from django import forms
from django.core.exceptions import ValidationError
from django.utils import timezone
from django.utils.datastructures import MultiValueDict

from evalhub.accounts.models import User
from results.assigning import Rule
from results.models import Evaluation, Review, TestResult
from results.reviewing import Correction
from runs.models import Comment, Evaluator

OVERLAPS = (
    ("1:100", "1 reviewer each"),
    ("2:10", "2 reviewers on 10 % of results"),
    ("2:20", "2 reviewers on 20 % of results"),
    ("2:50", "2 reviewers on 50 % of results"),
    ("2:100", "2 reviewers each"),
    ("3:100", "3 reviewers each"),
    ("4:100", "4 reviewers each"),
    ("5:100", "5 reviewers each"),
)
VERDICTS = (("passed", "Pass"), ("failed", "Fail"), ("cant_tell", "Can’t tell"))
PARTS = ("conflicts", "failed", "unjudged", "passed")


class LocalDateTimeInput(forms.DateTimeInput):
    input_type = "datetime-local"

    def __init__(self) -> None:
        super().__init__(format="%Y-%m-%dT%H:%M")


class AssignForm(forms.Form):
    """A round: its fields are the arguments of ``assign_reviewers``, and the rule that picks the results."""

    name = forms.CharField(label="Round", max_length=200)
    what = forms.MultipleChoiceField(
        label="What to review", required=False, choices=[(part, part) for part in (*PARTS, "everything")]
    )
    passed_percent = forms.IntegerField(label="Percent of the passes", min_value=1, max_value=100, initial=20)
    reviewers = forms.MultipleChoiceField(label="Reviewers", required=False)
    shared = forms.BooleanField(
        label="A shared queue instead", required=False, help_text="Whoever comes takes the next result."
    )
    overlap = forms.ChoiceField(label="Second opinion", choices=OVERLAPS, initial="1:100")
    due_at = forms.DateTimeField(
        label="Due",
        required=False,
        widget=LocalDateTimeInput,
        input_formats=["%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S"],
        help_text="In UTC, as all times here.",
    )
    rubric = forms.CharField(
        label="Rubric",
        required=False,
        max_length=20_000,
        widget=forms.Textarea(attrs={"rows": 3}),
        help_text="What the reviewers judge by; Markdown.",
    )
    seed = forms.IntegerField(min_value=1, max_value=2**62, widget=forms.HiddenInput)
    selection = forms.CharField(required=False, widget=forms.HiddenInput)

    def __init__(self, *args: Any, people: Sequence[User], ticked: bool, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.people = {str(user.pk): user for user in people}
        self.ticked = ticked
        reviewers = self.fields["reviewers"]
        assert isinstance(reviewers, forms.MultipleChoiceField)
        reviewers.choices = [(key, str(user)) for key, user in self.people.items()]
        if ticked or "passed" not in self._asked("what"):
            self.fields["passed_percent"].required = False

    def _asked(self, name: str) -> list[str]:
        """What stands in the form, whether it was sent or is shown for the first time."""
        if self.is_bound:
            assert isinstance(self.data, MultiValueDict)
            return [str(value) for value in self.data.getlist(self.add_prefix(name))]
        return list(self.get_initial_for_field(self.fields[name], name) or [])

    @property
    def chosen_reviewers(self) -> list[User]:
        if self.is_shared:
            return []
        return [user for key, user in self.people.items() if key in set(self._asked("reviewers"))]

    @property
    def chosen_parts(self) -> set[str]:
        return set(self._asked("what"))

    @property
    def is_shared(self) -> bool:
        return bool(self["shared"].value())

    @property
    def overlapping(self) -> tuple[int, int]:
        """(overlap, percent), also of a form that is not complete yet."""
        wanted = self["overlap"].value()
        overlap, _, percent = (wanted if wanted in dict(OVERLAPS) else "1:100").partition(":")
        return int(overlap), int(percent)

    @property
    def percent(self) -> int:
        try:
            return min(max(int(self["passed_percent"].value() or 0), 0), 100)
        except (TypeError, ValueError):
            return 0

    @property
    def rule(self) -> Rule:
        parts = self.chosen_parts
        return Rule(
            everything=self.ticked or "everything" in parts,
            conflicts="conflicts" in parts,
            failed="failed" in parts,
            unjudged="unjudged" in parts,
            passed_percent=self.percent if "passed" in parts else 0,
        )

    def clean_what(self) -> list[str]:
        parts: list[str] = self.cleaned_data["what"]
        if not self.ticked and not parts:
            raise ValidationError("Choose what is to be reviewed.")
        return parts

    def clean_due_at(self) -> Any:
        due = self.cleaned_data["due_at"]
        if due is not None and due <= timezone.now():
            raise ValidationError("This is in the past.")
        return due

    def clean(self) -> dict[str, Any]:
        if not self.is_shared and not self.chosen_reviewers:
            self.add_error("reviewers", "Choose at least one person, or a shared queue.")
        return self.cleaned_data


class DeclineForm(forms.Form):
    reason = forms.CharField(
        label="Why",
        max_length=1000,
        widget=forms.Textarea(attrs={"rows": 3, "autofocus": True}),
        help_text="The lead reads it. The result goes to another reviewer of the round.",
        error_messages={"required": "Say why, so that the lead can act on it."},
    )


class CommentForm(forms.Form):
    text = forms.CharField(
        label="Comment",
        max_length=Comment.LONGEST,
        widget=forms.Textarea(attrs={"rows": 6, "autofocus": True}),
        help_text="Markdown.",
        error_messages={"required": "A comment needs some text."},
    )


# --- one review -------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Question:
    """One evaluator in the form: the machine's judgement to agree with, or a question that only people answer."""

    evaluator: Evaluator
    machine: Evaluation | None = None
    options: list[tuple[str, str]] = field(default_factory=list)
    number: int = 0

    @property
    def key(self) -> str:
        return f"e-{self.evaluator.pk}"

    @property
    def reason_key(self) -> str:
        return f"why-{self.evaluator.pk}"

    @property
    def is_asked(self) -> bool:
        """People are the only ones to answer it."""
        return self.machine is None

    @property
    def asks_a_number(self) -> bool:
        return self.is_asked and not self.options

    @property
    def heading(self) -> str:
        """A human evaluator may put its question into words; a machine's judgement goes by the evaluator's name."""
        asked = self.evaluator.definition.get("question") if isinstance(self.evaluator.definition, dict) else None
        return str(asked) if asked and self.is_asked else self.evaluator.name


AGREE = "agree"


def questions_of(result: TestResult) -> list[Question]:
    """What the form asks about the result: human evaluators first, then the machine's verdicts, failed ones first."""
    rows = list(
        result.evaluations.current()
        .filter(evaluator__isnull=False, turn__isnull=True)
        .defer("debug", "usage", "metadata")
        .select_related("evaluator")
        .order_by("created_at", "id")
    )
    asked = {
        row.evaluator_id: row.evaluator for row in rows if row.source == Evaluation.Source.HUMAN and _is_for_people(row)
    }
    questions = [Question(evaluator, None, _options_of(evaluator)) for evaluator in asked.values() if evaluator]
    judged = [row for row in rows if row.source == Evaluation.Source.MACHINE and row.evaluator_id not in asked]
    for row in sorted(
        judged, key=lambda row: (row.passed is not False, row.evaluator.name.lower() if row.evaluator else "")
    ):
        options = _answers_to(row)
        if options and row.evaluator:
            questions.append(Question(row.evaluator, row, options))
    for number, question in enumerate(questions, start=2):  # the first one is the verdict
        question.number = number
    return questions


def _is_for_people(row: Evaluation) -> bool:
    return row.state == Evaluation.State.PENDING or (
        row.evaluator is not None and row.evaluator.who == Evaluator.Who.HUMAN
    )


def _labels(evaluator: Evaluator) -> list[str]:
    return [str(option["label"]) for option in evaluator.options if isinstance(option, dict) and option.get("label")]


def _options_of(evaluator: Evaluator) -> list[tuple[str, str]]:
    """Its labels, a short scale of whole numbers, or pass and fail; nothing where a number has to be typed."""
    labels = _labels(evaluator)
    if labels:
        return [(f"label:{label}", label) for label in labels]
    low, high = evaluator.min_score, evaluator.max_score
    if evaluator.value_type == Evaluator.ValueType.NUMBER and _is_short_scale(low, high):
        return [(f"value:{n}", str(n)) for n in range(int(low or 0), int(high or 0) + 1)]
    if evaluator.value_type == Evaluator.ValueType.LABEL or (
        low is None and high is None and evaluator.threshold is None
    ):
        return [("passed", "Pass"), ("failed", "Fail")]
    return []


def _is_short_scale(low: float | None, high: float | None) -> bool:
    if low is None or high is None:
        return False
    return low == int(low) and high == int(high) and 1 <= high - low <= 9


def _answers_to(row: Evaluation) -> list[tuple[str, str]]:
    """Agreement, or the other verdict; the labels of an evaluator that has some. Nothing where there is no verdict."""
    evaluator = row.evaluator
    if evaluator is None or evaluator.weight == 0:
        return []
    labels = _labels(evaluator)
    if labels and row.passed is not None:
        others = [(f"label:{label}", label) for label in labels if label != row.label]
        return [(AGREE, "Agree"), *others]
    if row.passed is None:
        return [("passed", "Pass"), ("failed", "Fail")] if row.state != Evaluation.State.SCORED else []
    return [(AGREE, "Agree"), ("failed", "Should fail") if row.passed else ("passed", "Should pass")]


class ReviewForm(forms.Form):
    """The verdict, an answer to every question that has one, and a comment."""

    verdict = forms.ChoiceField(
        choices=VERDICTS,
        error_messages={"required": "Choose a verdict: pass, fail or can’t tell."},
    )
    comment = forms.CharField(required=False, max_length=20_000)
    replaces = forms.UUIDField(required=False)
    unasked = forms.BooleanField(required=False)
    opened = forms.IntegerField(required=False)

    def __init__(self, *args: Any, questions: Sequence[Question] = (), **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.questions = questions
        for question in questions:
            if question.asks_a_number:
                low, high = question.evaluator.min_score, question.evaluator.max_score
                if question.evaluator.value_type == Evaluator.ValueType.PERCENTAGE:
                    low, high = (0 if low is None else low), (1 if high is None else high)
                self.fields[question.key] = forms.FloatField(required=False, min_value=low, max_value=high)
            else:
                self.fields[question.key] = forms.ChoiceField(required=False, choices=[("", ""), *question.options])
            self.fields[question.reason_key] = forms.CharField(required=False, max_length=4000)

    @property
    def corrections(self) -> list[Correction]:
        found = []
        for question in self.questions:
            answer = self.cleaned_data.get(question.key)
            if answer in (None, ""):
                continue
            why = self.cleaned_data.get(question.reason_key) or ""
            found.append(_correction(question, answer, why))
        return found


class QuickForm(forms.Form):
    verdict = forms.ChoiceField(choices=VERDICTS)
    comment = forms.CharField(required=False, max_length=20_000)
    replaces = forms.UUIDField(required=False)


def _correction(question: Question, answer: Any, why: str) -> Correction:
    said: dict[str, Any] = {"evaluator": question.evaluator, "explanation": why}
    if isinstance(answer, float):
        said["value"] = answer
    elif answer == AGREE and question.machine is not None:
        said |= {"passed": question.machine.passed, "label": question.machine.label, "value": question.machine.value}
    elif answer in ("passed", "failed"):
        said["passed"] = answer == "passed"
    elif str(answer).startswith("label:"):
        said["label"] = str(answer).removeprefix("label:")
    else:
        said["value"] = float(str(answer).removeprefix("value:"))
    return Correction(**said)


def answers_of(review: Review, questions: Iterable[Question]) -> dict[str, Any]:
    """What the form held when this review was handed in, from its evaluations."""
    said: dict[UUID | None, Evaluation] = {
        row.evaluator_id: row for row in review.evaluations.filter(turn__isnull=True).select_related(None)
    }
    answers: dict[str, Any] = {"verdict": review.verdict, "comment": review.comment}
    for question in questions:
        row = said.get(question.evaluator.pk)
        if row is None:
            continue
        answers[question.reason_key] = row.explanation
        answers[question.key] = _answer_of(row, question)
    return answers


def _answer_of(row: Evaluation, question: Question) -> Any:
    known = [value for value, _ in question.options]
    machine = question.machine
    if machine is not None and (row.passed, row.label) == (machine.passed, machine.label):
        return AGREE
    if f"label:{row.label}" in known:
        return f"label:{row.label}"
    if not known:
        return row.value
    if row.value is not None and f"value:{row.value:g}" in known:
        return f"value:{row.value:g}"
    return "passed" if row.passed else "failed"


def draft_of(data: Any, questions: Iterable[Question]) -> dict[str, str]:
    """What was typed so far, cut to what the form knows."""
    names = ["verdict", "comment"]
    for question in questions:
        names += [question.key, question.reason_key]
    return {name: str(data[name])[:20_000] for name in names if data.get(name)}
