"""Production calls of a project: in no list of runs and in no rate, with what their users said of them."""

from __future__ import annotations

from typing import Any, Final

from django.contrib.postgres.expressions import ArraySubquery
from django.db.models import OuterRef
from django.db.models.functions import JSONObject
from django.urls import URLPattern, path
from rest_framework.request import Request
from rest_framework.response import Response

from evalhub.api.finding import get
from evalhub.api.operations import PAGING, ApiView, Operation, pages_of
from evalhub.api.rows import Object, Row, Shown, list_of, moment, number, public_id, text, uuid
from evalhub.api.shapes import Choice, Moment, Number, Text
from evalhub.web.paging import Order
from results.models import Feedback
from results.production import SHOWN, calls_of
from runs.models import Project

FEEDBACK: Final = Object("Feedback", {"score": Number(doc="0 to 1."), "details": Text(), "recorded_at": Moment()})
_feedback_of: Any = ArraySubquery(
    Feedback.objects.filter(result=OuterRef("pk"))
    .order_by("-recorded_at", "-id")
    .values(item=JSONObject(score="score", details="details", recorded_at="recorded_at"))
)
CALL: Final = Row(
    "ProductionCall",
    {
        "id": public_id(),
        "uuid": uuid(),
        "input": text("input_preview", "The first 300 characters; the result's own address has all."),
        "output": text("output_preview"),
        "error": text("error"),
        "latency_ms": number("latency_ms"),
        "cost": number("cost"),
        "feedback": Shown(list_of(FEEDBACK, "Newest first."), ("its_feedback",), None, {"its_feedback": _feedback_of}),
        "created_at": moment("created_at", null=False),
    },
    doc="One call of the application in production; it is a result, too, and can be read as one.",
)


class ProductionCalls(ApiView):
    operations = {
        "GET": Operation(
            summary="List a project's production calls",
            action="read",
            doc="Newest first. Runs and rates never count them.",
            query={
                "show": Choice(of=SHOWN, doc="`feedback`: only calls with feedback; `errors`: only those."),
                **PAGING,
            },
            answer=pages_of(CALL, "ProductionCallPage"),
        )
    }

    def get(self, request: Request, id: str) -> Response:
        project = get(Project, self.actor, id)
        calls = calls_of(project, self.actor, self.query.get("show", ""))
        return self.page(calls, Order("-created_at"), CALL)


urlpatterns: list[URLPattern] = [
    path("projects/<ident:id>/production/", ProductionCalls.as_view(), name="project-production")
]
