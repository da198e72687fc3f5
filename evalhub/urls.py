from django.conf import settings
from django.contrib import admin
from django.urls import URLPattern, URLResolver, include, path

from evalhub.demo.views import chat
from evalhub.web.health import healthz, readyz

urlpatterns: list[URLPattern | URLResolver] = [
    path("admin/", admin.site.urls),
    path("", include("evalhub.accounts.urls")),
    path("healthz", healthz, name="healthz"),
    path("readyz", readyz, name="readyz"),
    path("api/", include("evalhub.api.urls")),
    path("", include("results.urls")),
]

if settings.MODE in ("demo", "test"):
    urlpatterns.append(path("demo/chat/", chat, name="demo-chat"))

handler400 = "evalhub.web.errors.bad_request"
handler403 = "evalhub.web.errors.forbidden"
handler404 = "evalhub.web.errors.not_found"
handler500 = "evalhub.web.errors.server_error"
