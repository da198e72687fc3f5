"""Pages that only the tests of the shell serve: every component in its states, and a list with a drawer."""

from datetime import UTC, datetime
from pathlib import Path

from django import forms
from django.conf import settings
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import path

from evalhub.accounts.access import requires
from evalhub.urls import handler400, handler403, handler404, handler500, urlpatterns  # noqa: F401
from evalhub.web.errors import Refused
from evalhub.web.pages import fragment_target, go_to, render_page, say, tell, wants_fragment
from evalhub.web.paging import Count, Page
from evalhub.web.parts import Chip, Link, Stat
from tests import hostile

TEMPLATES = [{**settings.TEMPLATES[0], "DIRS": [*settings.TEMPLATES[0]["DIRS"], Path(__file__).parent / "templates"]}]
STARTED = datetime(2026, 6, 17, 19, 44, tzinfo=UTC)
MISTAKES = {"name": "Nightly", "threshold": "1.4", "role": "lead"}
PERSON = {"id": 1, "name": "Ines Kowalski"}
ROWS = [
    {
        "id": number,
        "name": name,
        "rate": rate,
        "low": rate - 0.03,
        "high": rate + 0.03,
        "history": [0.9, 0.88, 0.91, 0.89, rate],
        "worse": worse,
        "change": change,
        "status": status,
        "started": STARTED,
    }
    for number, name, rate, worse, change, status in [
        (1284, "Nightly regression", 0.874, True, -0.031, "completed"),
        (1283, "Refund policy sweep", 0.782, False, -0.016, "partial"),
        (1282, "EU nightly", 0.893, False, 0.002, "running"),
    ]
]


class ExampleForm(forms.Form):
    name = forms.CharField(help_text="Shown in the list and in the API.", max_length=20)
    threshold = forms.FloatField(max_value=1, error_messages={"max_value": "Enter a number from 0 to 1."})
    kind = forms.ChoiceField(choices=[("ai", "A model"), ("human", "A person")])
    note = forms.CharField(widget=forms.Textarea(attrs={"rows": 2}), required=False)
    role = forms.ChoiceField(choices=[("lead", "Lead"), ("reviewer", "Reviewer")], widget=forms.RadioSelect)
    notify = forms.BooleanField(required=False, help_text="By e-mail.")

    def clean(self):
        if self.cleaned_data.get("note") == "refuse":
            raise forms.ValidationError("These two do not fit together.")


def styleguide(request: HttpRequest) -> HttpResponse:
    if request.method == "POST":
        say(request, "Case 412 reviewed.", undo="/styleguide/undone/")
        return go_to(request, "/styleguide/")
    context = {
        "crumbs": [Link("Runs", "/styleguide/"), Link("#1284")],
        "stats": [
            Stat("Effective pass", "87.4 %", "± 3.2", "367 of 420", "?outcome=passed", lead=True),
            Stat("Judge alone", "88.1 %", "± 3.1", "370 of 420", "?judge=passed"),
            Stat("Against #1279", "−3.1 pt", "[−5.7, −0.5]", "22 regressed", "?", tone="down"),
        ],
        "tabs": [Link("Results", "?", True, 420), Link("Summary", "?tab=summary")],
        "segments": [Link("All", "?", True, 420), Link("Fail", "?outcome=failed", False, 49, "fail")],
        "chips": [Chip("Status is", "failed", "?"), Chip("Started", "last 30 days", "?status=failed", "more")],
        "rows": ROWS,
        "page": Page(ROWS, next="abc", previous=None, first=1, size=3),
        "total": Count(12_431, exact=False),
        "outcomes": ["passed", "failed", "error", "review", "conflict", "open", "running", "cant_tell"],
        "states": ["queued", "running", "completed", "partial", "failed", "cancelled", "done", "declined"],
        "tag_names": ["refunds", "multi-turn"],
        "form": ExampleForm(
            {"name": "Nightly", "threshold": "1.4", "role": "lead"} if "mistakes" in request.GET else None
        ),
        "value": {"case": 412, "passed": False, "reason": 'no "refund" <call>', "score": 0.31, "turns": None},
        "text": "# Head\n\n**Bold** and `code`, [a link](https://example.com), ![chart](https://example.com/x.png)\n\n"
        "- one\n- two\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n```python\nprint(1)\n```\n> quoted",
        "person": PERSON,
        "people": [PERSON, {"id": 2, "name": "Hana Sato"}, {"id": 4, "name": "Luca Moretti"}],
        "evaluations": [("Groundedness", "failed"), ("Tone", "passed"), ("Safety", "error"), ("Refusal", "unscored")],
        "load": [("acc2", 12), ("acc", 42)],
        "bins": [1, 0, 1, 2, 4, 38, 96, 148, 107],
        "started": STARTED,
    }
    return render_page(request, "styleguide.html", context)


def undone(request: HttpRequest) -> HttpResponse:
    say(request, "Taken back.")
    return go_to(request, "/styleguide/")


def dialog(request: HttpRequest) -> HttpResponse:
    form = ExampleForm(request.POST or None, auto_id="dialog_%s")
    if request.method == "POST" and form.is_valid():
        say(request, "Renamed.")
        if wants_fragment(request):
            return tell(render_page(request, "dialog.html", {"form": form}, fragment="dialog"), close_dialog=True)
        return go_to(request, "/styleguide/")
    return render_page(request, "dialog.html", {"form": form}, fragment="dialog", status=422 if form.errors else 200)


def list_and_drawer(request: HttpRequest) -> HttpResponse:
    rows = [{"id": number, "name": f"Case {number}"} for number in range(1, 6)]
    opened = request.GET.get("result", "")
    return render_page(
        request, "list_and_drawer.html", {"rows": rows, "opened": int(opened) if opened.isdigit() else None}
    )


def drawer(request: HttpRequest, number: int) -> HttpResponse:
    if request.method == "POST":
        say(request, f"Case {number}: {request.POST['verdict']}.")
    if fragment_target(request) == "drawer":
        return render_page(request, "drawer_of_result.html", {"id": number}, fragment="drawer")
    return render_page(request, "list_and_drawer.html", {"rows": [], "opened": number})


def focus(request: HttpRequest) -> HttpResponse:
    return render_page(request, "focus.html")


@requires("read")
def closed(request: HttpRequest) -> HttpResponse:
    return HttpResponse("inside")


def hostile_texts(request: HttpRequest) -> HttpResponse:
    return render_page(request, "hostile.html", {"texts": hostile.ALL})


def broken(request: HttpRequest, kind: str) -> HttpResponse:
    errors = {
        "400": Refused("The cursor is damaged."),
        "403": PermissionDenied(),
        "404": Http404(),
        "500": ValueError(),
    }
    raise errors[kind]


urlpatterns = [
    path("styleguide/", styleguide),
    path("styleguide/undone/", undone),
    path("styleguide/dialog/", dialog),
    path("list/", list_and_drawer),
    path("list/<int:number>/", drawer),
    path("focus/", focus),
    path("closed/", closed),
    path("hostile/", hostile_texts),
    path("broken/<str:kind>/", broken),
    path("api/broken/<str:kind>/", broken),
    *urlpatterns,
]
