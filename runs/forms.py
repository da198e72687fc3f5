"""Forms of what is set up. Their cleaned values are the arguments of the verbs; what they offer is the actor's own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from hashlib import sha256
from typing import Any, ClassVar, cast
from uuid import UUID

from django import forms
from django.core.exceptions import ValidationError
from django.db.models import Model, Q, QuerySet
from django.http import QueryDict

from evalhub.accounts.actor import Actor
from evalhub.audit.models import AuditEvent
from evalhub.web.json import dumps
from runs.cases import ensure_word
from runs.checks import check_of, problems_of
from runs.configurations import evaluators_of
from runs.endpoints import check_address
from runs.evaluators import NO_OTHER_JUDGE, may_become
from runs.extracting import BadMapping, compile_mapping
from runs.fields import LONGEST_JSON, Finite, JsonText, LongText, Member, Tags, Whole, read_json, written_json
from runs.models import (
    Case,
    Category,
    Endpoint,
    Evaluator,
    Project,
    Requirement,
    SavedView,
    TestConfiguration,
    TestSet,
    Topic,
)
from runs.pasting import JSONL, LINES, Pasted, read_pasted
from runs.saved_views import clean_query
from runs.templating import BadTemplate, compile_template, compile_templates

LONGEST_PASTE = 2_000_000


class SetUpForm(forms.Form):
    """A form about one row: it says when the row changed under it, and offers only what the actor can see."""

    seen = forms.CharField(required=False, max_length=40, widget=forms.HiddenInput)
    not_values: ClassVar[tuple[str, ...]] = ("seen",)

    def __init__(
        self,
        data: QueryDict | None = None,
        *,
        actor: Actor,
        instance: Any = None,
        initial: Mapping[str, Any] | None = None,
    ) -> None:
        self.actor, self.instance = actor, instance
        values: dict[str, Any] = {}
        if instance is not None:
            values = self.values_of(instance)
            values["seen"] = digest_of(values)
        else:
            values = {"owner": actor.user.pk}
        super().__init__(data, initial={**values, **(initial or {})}, label_suffix="")
        self.offer()
        for name, field in self.fields.items():
            if field.error_messages.get("required") == forms.Field.default_error_messages["required"]:
                field.error_messages["required"] = needed_text(name, field)

    def offer(self) -> None:
        """Fill the choices in."""

    def needed(self, *names: str, when: bool) -> None:
        """Fields that are needed only sometimes; a form that is not sent yet shows them as needed."""
        for name in names:
            self.fields[name].required = when or not self.is_bound

    def values_of(self, instance: Any) -> dict[str, Any]:
        """What the form shows of a row at first."""
        names = [name for name in self.base_fields if hasattr(instance, name)]
        return {**{name: getattr(instance, name) for name in names}, "owner": getattr(instance, "owner_id", None)}

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        now = self.initial["seen"] if self.instance is not None else ""
        if now and cleaned.get("seen") and cleaned["seen"] != now:
            self.add_error(
                None,
                f"{who_changed(self.instance)} changed this while you had it open. Nothing was saved. "
                "Save again to put what you see here in its place.",
            )
            fresh = QueryDict(mutable=True)
            fresh.update(self.data)
            fresh["seen"] = now
            self.data = fresh
        return cleaned

    def changes(self) -> dict[str, Any]:
        """The arguments for the verb."""
        return {name: value for name, value in self.cleaned_data.items() if name not in self.not_values}


def needed_text(name: str, field: forms.Field) -> str:
    label = str(field.label or name.replace("_", " "))
    label = label if label.isupper() else label[:1].lower() + label[1:]
    return f"Choose the {label}." if isinstance(field, forms.ChoiceField) else f"Enter the {label}."


def digest_of(values: Mapping[str, Any]) -> str:
    """A fingerprint of what a form shows, to be recognised when it comes back."""
    plain = {name: value.pk if isinstance(value, Model) else value for name, value in values.items()}
    return sha256(dumps(plain)).hexdigest()[:32]


def who_changed(instance: Model) -> str:
    events = AuditEvent.objects.filter(entity_type=instance._meta.model_name, entity_id=instance.pk)
    event = events.select_related("user").order_by("-id").first()
    return str(event.user) if event and event.user else "Somebody"


def choose_project(actor: Actor, **kwargs: Any) -> forms.ModelChoiceField:
    kwargs.setdefault("empty_label", "Choose a project")
    return forms.ModelChoiceField(Project.objects.visible_to(actor).current(), **kwargs)


class ProjectForm(SetUpForm):
    name = forms.CharField(max_length=200)
    description = LongText(required=False)
    branch = forms.CharField(
        max_length=200, required=False, label="Main branch", help_text="Where releases come from, for example main."
    )
    labels = Tags(help_text="Words between commas, to find projects by.")

    def offer(self) -> None:
        self.fields["owner"] = Member(self.actor)


class TestSetForm(SetUpForm):
    __test__ = False

    name = forms.CharField(max_length=300)
    description = LongText(required=False)
    kind = forms.ChoiceField(
        choices=TestSet.Kind.choices, initial=TestSet.Kind.SINGLE_TURN, widget=forms.RadioSelect, label="Conversations"
    )
    tags = Tags()

    def offer(self) -> None:
        if self.instance is None:
            self.fields["project"] = choose_project(self.actor)
        self.fields["owner"] = Member(self.actor)
        self.order_fields(["name", "project", "description", "kind", "tags", "owner"])


TEXT, JSON = "text", "json"
FORMATS = [(TEXT, "Text"), (JSON, "JSON object")]


class CaseForm(SetUpForm):
    PLAN: ClassVar[tuple[str, ...]] = ("goal", "scenario", "instructions", "restrictions", "min_turns", "max_turns")
    WORDS: ClassVar[dict[str, type[Category] | type[Topic] | type[Requirement]]] = {
        "category": Category,
        "topic": Topic,
        "requirement": Requirement,
    }

    name = forms.CharField(
        max_length=300, required=False, help_text="What people call it. Without one it is its number."
    )
    kind = forms.ChoiceField(
        choices=TestSet.Kind.choices, initial=TestSet.Kind.SINGLE_TURN, widget=forms.RadioSelect, label="Conversation"
    )
    inputs_as = forms.ChoiceField(choices=FORMATS, initial=TEXT, widget=forms.RadioSelect, label="Input is")
    inputs = LongText(rows=5, max_length=LONGEST_JSON, label="Input", error_messages={"required": "Say what is asked."})
    expected_as = forms.ChoiceField(choices=FORMATS, initial=TEXT, widget=forms.RadioSelect, label="Expected output is")
    expected = LongText(
        required=False,
        rows=3,
        max_length=LONGEST_JSON,
        label="Expected output",
        help_text="Leave it empty where nothing is expected.",
    )
    goal = LongText(required=False, rows=2, help_text="What the simulated user wants to reach.")
    scenario = LongText(required=False, rows=2)
    instructions = LongText(required=False, rows=2, help_text="How the simulated user behaves.")
    restrictions = LongText(required=False, rows=2, help_text="What the application must not do.")
    min_turns = Whole(required=False, min_value=1, max_value=100, label="At least, turns")
    max_turns = Whole(required=False, min_value=1, max_value=100, label="At most, turns")
    category = forms.CharField(max_length=200, required=False)
    topic = forms.CharField(max_length=200, required=False)
    requirement = forms.CharField(max_length=200, required=False)
    priority = Whole(required=False, min_value=0, max_value=1_000)
    tags = Tags()

    def offer(self) -> None:
        self.needed("inputs", when=self.data.get("kind") != TestSet.Kind.MULTI_TURN)  # else a plan may say it all
        for name in self.WORDS:
            self.fields[name].widget.attrs |= {"list": f"known-{name}", "autocomplete": "off"}

    def known_words(self) -> dict[str, list[str]]:
        """The organisation's categories, topics and requirements, to be suggested."""
        return {
            name: list(model.objects.visible_to(self.actor).values_list("name", flat=True)[:200])
            for name, model in self.WORDS.items()
        }

    def values_of(self, case: Case) -> dict[str, Any]:
        inputs_as, inputs = lone_text(case.inputs, "input")
        expected_as, expected = lone_text(case.expected, "output")
        words = {name: getattr(getattr(case, name), "name", "") for name in self.WORDS}
        plan = case.plan if isinstance(case.plan, dict) else {}
        return {
            **{name: getattr(case, name) for name in ("name", "kind", "priority", "tags")},
            **{name: plan.get(name) for name in self.PLAN},
            **words,
            "inputs_as": inputs_as,
            "inputs": inputs,
            "expected_as": expected_as,
            "expected": expected,
        }

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean()
        for name, key in (("inputs", "input"), ("expected", "output")):
            if name in cleaned:
                try:
                    cleaned[name] = self._as_object(cleaned[name], cleaned.get(f"{name}_as"), key)
                except ValidationError as problem:
                    self.add_error(name, problem)
        if "inputs" in cleaned:
            cleaned["inputs"] = cleaned["inputs"] or {}
            plan_carries_it = cleaned.get("kind") == TestSet.Kind.MULTI_TURN and cleaned.get("goal")
            if not cleaned["inputs"] and not plan_carries_it:
                self.add_error("inputs", "Say what is asked, or which goal the conversation has.")
        least, most = cleaned.get("min_turns"), cleaned.get("max_turns")
        if least and most and least > most:
            self.add_error("max_turns", "This is less than the least number of turns.")
        return cleaned

    def _as_object(self, text: str, form: str | None, key: str) -> dict[str, Any] | None:
        if not text:
            return None
        if form == JSON:
            value: dict[str, Any] = read_json(text, dict)
            return value or None
        return {key: text}

    def changes(self) -> dict[str, Any]:
        """The arguments for the verb; words that are new to the organisation are made."""
        cleaned = self.cleaned_data
        plan = dict(self.instance.plan) if self.instance is not None and isinstance(self.instance.plan, dict) else {}
        if cleaned["kind"] == TestSet.Kind.MULTI_TURN:
            plan |= {name: cleaned[name] for name in self.PLAN}
            plan = {name: value for name, value in plan.items() if name not in self.PLAN or value not in (None, "")}
        words = {name: ensure_word(model, self.actor.organization, cleaned[name]) for name, model in self.WORDS.items()}
        return {
            **{name: cleaned[name] for name in ("name", "kind", "priority", "tags", "inputs", "expected")},
            **words,
            "plan": plan or None,
        }


def lone_text(value: Any, key: str) -> tuple[str, str]:
    """How a form shows inputs or an expectation: a lone text as it is, everything else as JSON."""
    if not value:
        return TEXT, ""
    if isinstance(value, dict) and list(value) == [key] and isinstance(value[key], str):
        return TEXT, value[key]
    return JSON, written_json(value)


class PasteForm(forms.Form):
    form = forms.ChoiceField(
        choices=[(LINES, "One input a line"), (JSONL, "JSON Lines")],
        initial=LINES,
        widget=forms.RadioSelect,
        label="The text is",
    )
    text = LongText(rows=12, max_length=LONGEST_PASTE, mono=True, label="Cases", strip=False)

    def __init__(self, data: QueryDict | None = None) -> None:
        super().__init__(data, label_suffix="")
        self.pasted = Pasted()

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        if cleaned.get("text") and cleaned.get("form"):
            self.pasted = read_pasted(cleaned["text"], cleaned["form"])
            wrong = len(self.pasted.problems)
            if wrong:
                self.add_error(
                    "text", f"{wrong:,} line{'s have' if wrong > 1 else ' has'} a mistake. Nothing was added."
                )
            elif not self.pasted.specs:
                self.add_error("text", "There is no case in it.")
        return cleaned


class OptionForm(forms.Form):
    label = forms.CharField(max_length=80, required=False)
    value = Finite(required=False, min_value=0, max_value=1, widget=forms.NumberInput(attrs={"step": "any"}))
    passes = forms.ChoiceField(
        choices=[("yes", "Passes"), ("no", "Fails"), ("", "No verdict")], required=False, initial=""
    )

    PASSES: ClassVar[dict[str, bool | None]] = {"yes": True, "no": False, "": None}

    def as_option(self) -> dict[str, Any] | None:
        cleaned = self.cleaned_data
        if not cleaned.get("label"):
            return None
        return {"label": cleaned["label"], "value": cleaned["value"], "passes": self.PASSES[cleaned["passes"]]}


MOST_OPTIONS = 40


class Options(forms.BaseFormSet):
    """The labels of an evaluator, in their order; a row without a label is left out."""

    def get_form_kwargs(self, index: int | None) -> dict[str, Any]:
        return {"label_suffix": ""}

    def clean(self) -> None:
        seen: set[str] = set()
        for form in self.forms:
            label = str(form.cleaned_data.get("label") or "") if form.is_valid() else ""
            if label and label.casefold() in seen:
                form.add_error("label", "This label is there twice.")
            seen.add(label.casefold())
            value_without_label = form.is_valid() and not label and form.cleaned_data.get("value") is not None
            if value_without_label:
                form.add_error("label", "This value needs a label.")

    def options(self) -> list[dict[str, Any]]:
        return [option for form in self.forms if (option := form.as_option())]

    @staticmethod
    def rows_of(options: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
        words = {"True": "yes", "False": "no"}
        return [
            {
                "label": option.get("label"),
                "value": option.get("value"),
                "passes": words.get(str(option.get("passes")), ""),
            }
            for option in options
        ]


def options_formset(rows: int) -> type[Options]:
    made: Any = forms.formset_factory(
        OptionForm, formset=Options, extra=rows, max_num=MOST_OPTIONS, absolute_max=MOST_OPTIONS
    )
    return cast(type[Options], made)


class EvaluatorForm(SetUpForm):
    DEFINITION: ClassVar[dict[str, tuple[str, ...]]] = {
        Evaluator.Who.AI: ("endpoint", "model", "prompt"),
        Evaluator.Who.HEURISTIC: ("heuristic", "settings"),
        Evaluator.Who.HUMAN: ("question", "instructions"),
        Evaluator.Who.CLASSIFIER: ("model", "settings"),
    }
    PARTS: ClassVar[tuple[str, ...]] = (
        "endpoint", "model", "prompt", "heuristic", "settings", "question", "instructions",
    )  # fmt: skip
    ESSENTIAL: ClassVar[dict[str, str]] = {
        "prompt": Evaluator.Who.AI,
        "heuristic": Evaluator.Who.HEURISTIC,
        "question": Evaluator.Who.HUMAN,
    }

    name = forms.CharField(max_length=200)
    description = LongText(required=False, rows=2)
    who = forms.ChoiceField(
        choices=Evaluator.Who.choices, initial=Evaluator.Who.AI, widget=forms.RadioSelect, label="Who judges"
    )
    value_type = forms.ChoiceField(
        choices=Evaluator.ValueType.choices,
        initial=Evaluator.ValueType.PERCENTAGE,
        widget=forms.RadioSelect,
        label="A judgement is a",
    )
    direction = forms.ChoiceField(choices=Evaluator.Direction.choices, initial=Evaluator.Direction.HIGHER)
    operator = forms.ChoiceField(
        choices=Evaluator.Operator.choices, initial=Evaluator.Operator.AT_LEAST, label="Passes when it is"
    )
    threshold = Finite(
        required=False, widget=forms.NumberInput(attrs={"step": "any"}), help_text="Without one it gives no verdict."
    )
    min_score = Finite(required=False, label="Least possible", widget=forms.NumberInput(attrs={"step": "any"}))
    max_score = Finite(required=False, label="Most possible", widget=forms.NumberInput(attrs={"step": "any"}))
    weight = Finite(
        initial=1,
        min_value=0,
        max_value=1_000,
        widget=forms.NumberInput(attrs={"step": "any"}),
        help_text="0: informative only, it gives no verdict.",
    )
    model = forms.CharField(max_length=300, required=False, help_text="The judging model, as its provider calls it.")
    prompt = LongText(
        required=False,
        rows=8,
        mono=True,
        help_text="What the judge is asked. {{ input }}, {{ output }} and {{ expected }} are filled in.",
    )
    heuristic = forms.CharField(
        max_length=200, required=False, label="Check", widget=forms.TextInput(attrs={"list": "heuristics"})
    )
    settings = JsonText(help_text='A JSON object, for example {"pattern": "^[0-9]+$"}.')
    question = LongText(required=False, rows=2, help_text="What the reviewer is asked about a result.")
    instructions = LongText(required=False, rows=4, help_text="How to decide; shown beside the question.")
    tags = Tags()

    def offer(self) -> None:
        said = self.instance.definition if self.instance is not None else None
        for part, who in self.ESSENTIAL.items():
            if said is None or part in said:  # what came without it may stay so
                self.needed(part, when=self.data.get("who") == who)
        if self.instance is None:
            self.fields["project"] = choose_project(
                self.actor, required=False, empty_label="None: a template for all projects"
            )
        self.fields["endpoint"] = forms.ModelChoiceField(
            Endpoint.objects.visible_to(self.actor).current(),
            required=False,
            label="Asked at",
            empty_label="The installation’s own judge model",
            help_text="An endpoint with an OpenAI-compatible address for chat completions.",
        )
        self.fields["owner"] = Member(self.actor)

    def values_of(self, evaluator: Evaluator) -> dict[str, Any]:
        definition = evaluator.definition if isinstance(evaluator.definition, dict) else {}
        return {**super().values_of(evaluator), **{name: definition.get(name) for name in self.PARTS}}

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean()
        project = self.instance.project if self.instance is not None else cleaned.get("project")
        if name := cleaned.get("name"):
            others = Evaluator.objects.visible_to(self.actor).filter(project=project, name=name)
            if self.instance is not None:
                others = others.exclude(pk=self.instance.pk)
            if others.exists():
                where = f"“{project}”" if project else "the templates"
                self.add_error("name", f"There already is an evaluator of this name in {where}.")
        self._check_numbers(cleaned)
        self._check_judging(cleaned)
        return cleaned

    def _check_judging(self, cleaned: dict[str, Any]) -> None:
        """Refuse what a worker could not judge with; what was there before may stay."""
        if self.instance is not None and not may_become(self.instance, cleaned.get("who") or self.instance.who):
            self.add_error("who", NO_OTHER_JUDGE)
        if isinstance(cleaned.get("endpoint"), Endpoint):
            cleaned["endpoint"] = str(cleaned["endpoint"].pk)
        if cleaned.get("who") == Evaluator.Who.HEURISTIC and "settings" in cleaned:
            definition = {"heuristic": cleaned.get("heuristic"), "settings": cleaned["settings"] or {}}
            before = self.instance.definition if self.instance is not None else {}
            same = all(before.get(name) == value for name, value in definition.items())
            if check_of(definition) and not same:  # others may be applied elsewhere, and sent
                for problem in problems_of(definition):
                    self.add_error("settings", problem)
        if cleaned.get("who") == Evaluator.Who.AI and cleaned.get("prompt") and "prompt" in self.changed_data:
            try:
                compile_template(cleaned["prompt"])
            except BadTemplate as problem:
                self.add_error("prompt", str(problem))

    def _check_numbers(self, cleaned: dict[str, Any]) -> None:
        kind, threshold = cleaned.get("value_type"), cleaned.get("threshold")
        if kind == Evaluator.ValueType.LABEL:
            return
        least, most = cleaned.get("min_score"), cleaned.get("max_score")
        if kind == Evaluator.ValueType.PERCENTAGE:
            if threshold is not None and not 0 <= threshold <= 1:
                self.add_error("threshold", "Enter a number from 0 to 1.")
            return
        if least is not None and most is not None and least >= most:
            self.add_error("max_score", "This is not more than the least possible score.")
        elif threshold is not None and (
            (least is not None and threshold < least) or (most is not None and threshold > most)
        ):
            self.add_error("threshold", "No possible score is on the other side of it.")

    def needs_options(self) -> bool:
        if self.cleaned_data.get("value_type") != Evaluator.ValueType.LABEL:
            return False
        return self.instance is None or bool(self.instance.options)

    def changes(self, options: list[dict[str, Any]] | None = None) -> dict[str, Any]:
        cleaned = self.cleaned_data
        values = {name: value for name, value in super().changes().items() if name not in self.PARTS}
        values["definition"] = self._definition()
        kind = cleaned["value_type"]
        values["options"] = (options or []) if kind == Evaluator.ValueType.LABEL else []
        unasked = () if kind == Evaluator.ValueType.NUMBER else ("min_score", "max_score")
        if values["options"]:
            unasked = (*unasked, "threshold")
        stays = self.instance is not None and self.instance.value_type == kind
        for name in unasked:  # what the form does not ask about such a judgement is as it came
            values[name] = getattr(self.instance, name) if stays else None
        return values

    def _definition(self) -> dict[str, Any]:
        """The parts that belong to who judges; what else came with it stays, as long as who judges does."""
        cleaned, instance = self.cleaned_data, self.instance
        parts = self.DEFINITION[cleaned["who"]]
        before = dict(instance.definition) if instance is not None and isinstance(instance.definition, dict) else {}
        gone = parts if instance is not None and cleaned["who"] == instance.who else self.PARTS
        kept = {name: value for name, value in before.items() if name not in gone}
        return {**kept, **{name: cleaned[name] for name in parts if cleaned[name] not in ("", None)}}


SENSITIVE = ("authorization", "cookie", "api-key", "apikey", "token", "secret", "password")


def is_sensitive(header: str) -> bool:
    folded = header.lower().replace("_", "-")
    return any(word in folded for word in SENSITIVE)


class EndpointForm(SetUpForm):
    not_values = ("seen", "auth_token", "client_secret", "forget")
    METHODS: ClassVar[list[tuple[str, str]]] = [(name, name) for name in ("POST", "GET", "PUT", "PATCH")]

    name = forms.CharField(max_length=200)
    description = LongText(required=False, rows=2)
    environment = forms.ChoiceField(choices=Endpoint.Environment.choices, initial=Endpoint.Environment.DEVELOPMENT)
    connection_type = forms.ChoiceField(
        choices=Endpoint.Connection.choices, initial=Endpoint.Connection.REST, label="Connection"
    )
    method = forms.ChoiceField(choices=METHODS, initial="POST")
    url = forms.CharField(
        max_length=2_000, required=False, label="Address", widget=forms.TextInput(attrs={"inputmode": "url"})
    )
    endpoint_path = forms.CharField(
        max_length=1_000, required=False, label="Path", help_text="Added to the address; starts with /."
    )
    request_headers = JsonText(
        label="Headers", help_text="An object of texts. Credentials belong into the secret below."
    )
    query_params = JsonText(label="Query parameters", rows=2)
    request_mapping = JsonText(
        rows=6, label="Request", help_text="The body that is sent. {{ input }} is the case’s input."
    )
    response_mapping = JsonText(
        rows=4,
        label="Response",
        help_text='Where to find what in the answer: {"output": "$.choices[0].message.content"}.',
    )
    response_format = forms.ChoiceField(
        choices=Endpoint.Format.choices, initial=Endpoint.Format.JSON, label="The answer is"
    )
    auth_type = forms.ChoiceField(choices=Endpoint.Auth.choices, required=False, label="Authentication")
    auth_token = forms.CharField(max_length=8_000, required=False, label="Token or key")
    client_id = forms.CharField(max_length=300, required=False, label="Client ID")
    client_secret = forms.CharField(max_length=8_000, required=False)
    token_url = forms.CharField(max_length=2_000, required=False, label="Token address")
    scopes = Tags()
    forget = forms.BooleanField(required=False, label="Forget the stored secret")
    timeout_seconds = Whole(initial=30, min_value=1, max_value=600, label="Timeout, seconds")
    max_concurrency = Whole(initial=8, min_value=1, max_value=100, label="Calls at once, at most")
    tags = Tags()

    def offer(self) -> None:
        self.needed("url", when=self.data.get("connection_type") != Endpoint.Connection.SDK)
        self.needed("client_id", "token_url", when=self.data.get("auth_type") == Endpoint.Auth.CLIENT_CREDENTIALS)
        if self.instance is None:
            self.fields["project"] = choose_project(self.actor)
            del self.fields["forget"]
        stored = self.instance.secrets if self.instance is not None else {}
        for name in Endpoint.SECRETS:
            hint = "Stored, and never shown again. Leave it empty to keep it." if name in stored else ""
            self.fields[name].widget = forms.PasswordInput(
                attrs={"autocomplete": "new-password", "placeholder": "••••••••" if name in stored else ""}
            )
            self.fields[name].help_text = hint or "Kept encrypted, and never shown again."
        if self.instance is not None and not stored:
            del self.fields["forget"]
        current = self.instance.method if self.instance is not None else "POST"
        if current not in dict(self.METHODS):
            self.fields["method"].choices = [*self.METHODS, (current, current)]  # type: ignore[attr-defined]
        self.fields["owner"] = Member(self.actor)

    def values_of(self, endpoint: Endpoint) -> dict[str, Any]:
        return {**super().values_of(endpoint), "auth_token": "", "client_secret": ""}

    def clean_endpoint_path(self) -> str:
        path: str = self.cleaned_data["endpoint_path"]
        if path and (not path.startswith("/") or path.startswith("//") or "\\" in path or "#" in path or " " in path):
            raise ValidationError("A path starts with one slash, and has no space, backslash or #.")
        return path

    def clean_request_headers(self) -> dict[str, Any]:
        headers: dict[str, Any] = self.cleaned_data["request_headers"] or {}
        for name, value in headers.items():
            if not name.isascii() or not name.replace("-", "").replace("_", "").isalnum():
                raise ValidationError(f"“{name[:60]}” is not the name of a header.")
            if not isinstance(value, str) or not value.isascii() or not value.isprintable():
                raise ValidationError(f"The value of “{name}” is not a text of printable ASCII characters.")
            if name.lower() in ("host", "content-length", "transfer-encoding", "connection"):
                raise ValidationError(f"“{name}” is set by EvalHub.")
            if is_sensitive(name) and "{{" not in value:
                raise ValidationError(
                    f"“{name}” looks like a credential, and headers are shown to everybody. Store it as the secret; "
                    "{{ auth_token }} stands for it here."
                )
        return headers

    def clean_query_params(self) -> dict[str, Any]:
        parameters: dict[str, Any] = self.cleaned_data["query_params"] or {}
        for name, value in parameters.items():
            if isinstance(value, dict | list):
                raise ValidationError(f"“{name[:60]}” is not a text, a number, true or false.")
        return parameters

    def clean_request_mapping(self) -> dict[str, Any]:
        mapping: dict[str, Any] = self.cleaned_data["request_mapping"] or {}
        try:
            compile_templates(mapping)
        except BadTemplate as problem:
            raise ValidationError(str(problem)) from None
        return mapping

    def clean_response_mapping(self) -> dict[str, Any]:
        mapping: dict[str, Any] = self.cleaned_data["response_mapping"] or {}
        for name, value in mapping.items():
            if not isinstance(value, str) or not value.strip():
                raise ValidationError(
                    f"“{name[:60]}” needs a path such as $.answer, or a template such as {{{{ answer }}}}."
                )
        if mapping and "output" not in mapping:
            raise ValidationError("“output” is missing: it says where the answer’s text is.")
        try:
            compile_mapping(mapping)
        except BadMapping as problem:
            raise ValidationError(str(problem)) from None
        return mapping

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean()
        kind = cleaned.get("connection_type")
        self._check(cleaned, "url", ("ws", "wss") if kind == Endpoint.Connection.WEBSOCKET else ("http", "https"))
        self._check(cleaned, "token_url", ("http", "https"))
        return cleaned

    def _check(self, cleaned: dict[str, Any], name: str, schemes: tuple[str, ...]) -> None:
        url = cleaned.get(name, "")
        if not url:
            return
        try:
            check_address(url)
            if url.split("://")[0].lower() not in schemes:
                raise ValidationError(f"This kind of connection starts with {schemes[-1]}:// or {schemes[0]}://.")
        except ValidationError as problem:
            self.add_error(name, problem)

    def secrets(self) -> dict[str, str | None]:
        """Per secret: a new one, None to keep what is stored, "" to forget it."""
        forget = bool(self.cleaned_data.get("forget"))
        return {name: self.cleaned_data[name] or ("" if forget else None) for name in Endpoint.SECRETS}


def offered[M: Model](rows: QuerySet[M], project: UUID, *kept: UUID | None) -> QuerySet[M]:
    """What is in the project's lists, and what is already chosen, wherever it is."""
    listed = Q(project=project, archived_at__isnull=True)
    return rows.filter(listed | Q(pk__in=[pk for pk in kept if pk]))


MOST_OFFERED = 300  # evaluators in one form: a browser sends a place for each


class ConfigurationForm(SetUpForm):
    """``project`` is chosen before the form is shown: it decides what there is to choose from."""

    NUMBERS: ClassVar[tuple[str, ...]] = ("repetitions", "concurrency", "timeout", "retry_count")
    PARAMETERS: ClassVar[tuple[str, ...]] = ("model", *NUMBERS)
    not_values = ("seen", "evaluators", "other", *PARAMETERS)

    name = forms.CharField(max_length=300)
    description = LongText(required=False, rows=2)
    model = forms.CharField(max_length=300, required=False, help_text="What the application uses, as it calls it.")
    repetitions = Whole(required=False, min_value=1, max_value=100, help_text="How often each case is asked.")
    concurrency = Whole(required=False, min_value=1, max_value=100, label="Calls at once")
    timeout = Whole(required=False, min_value=1, max_value=3_600, label="Timeout, s")
    retry_count = Whole(required=False, min_value=0, max_value=20, label="Retries")
    other = JsonText(label="Other parameters", help_text="A JSON object with the application’s own parameters.")
    tags = Tags()

    def __init__(self, data: QueryDict | None = None, *, project: Project, **kwargs: Any) -> None:
        self.project = project
        super().__init__(data, **kwargs)

    def offer(self) -> None:
        kept = self.instance
        endpoints = Endpoint.objects.visible_to(self.actor)
        test_sets = TestSet.objects.visible_to(self.actor)
        self.fields["endpoint"] = forms.ModelChoiceField(
            offered(endpoints, self.project.pk, kept and kept.endpoint_id),
            required=False,
            empty_label="None: results are sent to us",
        )
        self.fields["test_set"] = forms.ModelChoiceField(
            offered(test_sets, self.project.pk, kept and kept.test_set_id),
            required=False,
            empty_label="None: the sender decides",
        )
        evaluators = offered(
            Evaluator.objects.visible_to(self.actor),
            self.project.pk,
            *(evaluator.pk for evaluator in (evaluators_of(kept) if kept else ())),
        )
        self.fields["evaluators"] = forms.ModelMultipleChoiceField(evaluators, required=False)
        self.fields["owner"] = Member(self.actor)

    def values_of(self, configuration: TestConfiguration) -> dict[str, Any]:
        parameters = configuration.parameters if isinstance(configuration.parameters, dict) else {}
        return {
            **{name: getattr(configuration, name) for name in ("name", "description", "tags")},
            "owner": configuration.owner_id,
            "endpoint": configuration.endpoint_id,
            "test_set": configuration.test_set_id,
            "evaluators": [evaluator.pk for evaluator in evaluators_of(configuration)],
            **{name: parameters.get(name) for name in self.PARAMETERS},
            "other": {name: value for name, value in parameters.items() if name not in self.PARAMETERS},
        }

    def clean_other(self) -> dict[str, Any]:
        other: dict[str, Any] = self.cleaned_data["other"] or {}
        if known := next((name for name in self.PARAMETERS if name in other), None):
            raise ValidationError(f"“{known}” has a field of its own.")
        return other

    def evaluator_rows(self) -> list[dict[str, Any]]:
        """Every evaluator that can be chosen: the chosen ones first, in their order."""
        chosen = [str(value) for value in (self["evaluators"].value() or ())]
        evaluators = list(self.fields["evaluators"].queryset)  # type: ignore[attr-defined]
        places = {str(evaluator.pk): self._place(evaluator.pk, chosen) for evaluator in evaluators}
        evaluators.sort(key=lambda evaluator: (str(evaluator.pk) not in chosen, places[str(evaluator.pk)] or 10_000))
        evaluators = evaluators[: max(MOST_OFFERED, len(chosen))]
        return [
            {"evaluator": evaluator, "chosen": str(evaluator.pk) in chosen, "place": places[str(evaluator.pk)]}
            for evaluator in evaluators
        ]

    def _place(self, pk: UUID, chosen: list[str]) -> int | None:
        """The place in the order that was typed, else the one it has among the chosen."""
        typed = self.data.get(f"place-{pk}", "") if self.is_bound else ""
        if typed.isascii() and typed.isdigit() and len(typed) < 5:
            return int(typed)
        return chosen.index(str(pk)) + 1 if str(pk) in chosen and not self.is_bound else None

    def ordered_evaluators(self) -> list[Evaluator]:
        """The chosen ones by their place; those without one come last, by name."""
        chosen = list(self.cleaned_data["evaluators"])
        return sorted(chosen, key=lambda evaluator: self._place(evaluator.pk, []) or 10_000)

    def changes(self) -> dict[str, Any]:
        cleaned = self.cleaned_data
        parameters = {name: cleaned[name] for name in self.PARAMETERS if cleaned[name] not in (None, "")}
        return {
            **super().changes(),
            "parameters": {**cleaned["other"], **parameters},
            "evaluators": self.ordered_evaluators(),
        }


class SavedViewForm(forms.Form):
    page = forms.ChoiceField(choices=SavedView.Page.choices, initial=SavedView.Page.RUNS, widget=forms.HiddenInput)
    query = forms.CharField(max_length=4_000, required=False, widget=forms.HiddenInput)
    name = forms.CharField(max_length=80, error_messages={"required": "Enter the name."})
    shared = forms.BooleanField(
        required=False, label="Share it", help_text="Your colleagues see it in their list, and only you can change it."
    )

    def clean_query(self) -> str:
        try:
            return clean_query(self.cleaned_data["query"])
        except ValueError:
            raise ValidationError("This address has too many filters to be kept.") from None
