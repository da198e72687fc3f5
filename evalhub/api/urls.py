"""Addresses of the API. v1 to v4 belong to Gentrace's clients."""

from __future__ import annotations

from django.urls import URLPattern, URLResolver, path, re_path

from evalhub.api import (
    arriving,
    assignments,
    exports,
    imports,
    launching,
    notes,
    people,
    production,
    results,
    reviews,
    runs,
    set_up,
)
from evalhub.api.documentation import documentation
from evalhub.api.entrance import Index, Nowhere, Schema

app_name = "api"
urlpatterns: list[URLPattern | URLResolver] = [
    path("", Index.as_view(), name="index"),
    path("docs/", documentation, name="docs"),
    path("schema/", Schema.as_view(), name="schema"),
    *runs.urlpatterns,
    *launching.urlpatterns,
    *arriving.urlpatterns,
    *exports.urlpatterns,
    *results.urlpatterns,
    *reviews.urlpatterns,
    *assignments.urlpatterns,
    *production.urlpatterns,
    *set_up.urlpatterns,
    *notes.urlpatterns,
    *imports.urlpatterns,
    *people.urlpatterns,
    re_path(r"^(?!v[1-4](?:/|$))", Nowhere.as_view(), name="nowhere"),
]
