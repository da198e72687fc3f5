from django.conf import settings
from django.contrib import admin
from django.urls import URLPattern, URLResolver, include, path, re_path
from django.views.generic import RedirectView

from evalhub.demo.views import chat
from evalhub.web.health import healthz, readyz

urlpatterns: list[URLPattern | URLResolver] = [
    path("api/", include("evalhub.compat.gentrace.urls")),  # programs first: they ask most
    path("api/", include("evalhub.api.urls")),
    path("", RedirectView.as_view(pattern_name="runs:run-list"), name="home"),
    path("admin/", admin.site.urls),
    path("", include("evalhub.accounts.urls")),
    path("", include("runs.urls")),
    path("", include("results.urls")),
    path("healthz", healthz, name="healthz"),
    path("readyz", readyz, name="readyz"),
    re_path(r"^rhesis(?:/|$)", include("evalhub.compat.rhesis.urls")),
    path("", include("evalhub.importers.urls")),
]

if settings.MODE in ("demo", "test"):
    urlpatterns.append(path("demo/chat/", chat, name="demo-chat"))

handler400 = "evalhub.web.errors.bad_request"
handler403 = "evalhub.web.errors.forbidden"
handler404 = "evalhub.web.errors.not_found"
handler500 = "evalhub.web.errors.server_error"
