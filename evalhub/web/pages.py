"""A page, or the part of it that htmx asked for; and what else a view needs to answer a browser."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import resolve_url
from django.template.loader import render_to_string
from django.utils.cache import patch_vary_headers
from django.utils.http import url_has_allowed_host_and_scheme

POSITION: Final = ("cursor", "result")  # what a link to another state of a list must not carry along
UNDO: Final = "undo:"


def wants_fragment(request: HttpRequest) -> bool:
    """Whether htmx asks for a part: not when it restores history, boosts, or picks the part out of a whole page."""
    headers = request.headers
    return (
        headers.get("HX-Request") == "true"
        and headers.get("HX-History-Restore-Request") != "true"
        and headers.get("HX-Boosted") != "true"
        and headers.get("HX-Request-Type", "partial") == "partial"
    )


def fragment_target(request: HttpRequest) -> str:
    """The id of the element that htmx will fill ("drawer" from aside#drawer), else nothing."""
    return request.headers.get("HX-Target", "").partition("#")[2]


def render_page(
    request: HttpRequest,
    template: str,
    context: Mapping[str, Any] | None = None,
    *,
    fragment: str | None = None,
    status: int = 200,
) -> HttpResponse:
    """The page; or only its partial ``fragment`` when htmx asks, after a form with what there is to say.

    What a page fetches by itself says nothing: it may come between a form and the page that its answer leads to.
    """
    values = dict(context or {})
    if fragment is not None and wants_fragment(request):
        text = render_to_string(f"{template}#{fragment}", values, request)
        if request.method not in ("GET", "HEAD"):
            text += render_to_string("components/toasts.html#said", {}, request)
    else:
        text = render_to_string(template, values, request)
    response = HttpResponse(text, status=status)
    patch_vary_headers(response, ["HX-Request", "HX-Request-Type", "HX-Target"])
    return response


def say(request: HttpRequest, text: str, *, undo: str = "", level: int = messages.SUCCESS) -> None:
    """A toast on the page or fragment that comes next; ``undo`` is an address that takes it back (POST)."""
    messages.add_message(request, level, text, extra_tags=f"{UNDO}{undo}" if undo else "")


def back_to(request: HttpRequest, default: str, *args: Any, **kwargs: Any) -> str:
    """Where ``next`` (posted or asked for) points if that is on this site, else the default."""
    wanted = request.POST.get("next") or request.GET.get("next") or ""
    if is_here(request, wanted):
        return wanted
    return resolve_url(default, *args, **kwargs)


def is_here(request: HttpRequest, url: str) -> bool:
    """Whether the address is a path of this site; browsers read backslashes and tabs in ways of their own."""
    plain = url.startswith("/") and url.isprintable() and "\\" not in url
    return plain and url_has_allowed_host_and_scheme(
        url, allowed_hosts={request.get_host()}, require_https=request.is_secure()
    )


def path_of(url: str) -> str:
    """The path and query of an address that a browser names whole."""
    _, _, rest = url.partition("://")
    slash = rest.find("/")
    return rest[slash:].partition("#")[0] if slash >= 0 else ""


def go_to(request: HttpRequest, target: str, *args: Any, **kwargs: Any) -> HttpResponse:
    """Redirect the browser; htmx would follow a 302 by itself and swap the next page into a corner of this one."""
    url = resolve_url(target, *args, **kwargs)
    if request.headers.get("HX-Request") == "true":
        return HttpResponse(status=204, headers={"HX-Redirect": url})
    return HttpResponseRedirect(url)


def tell(response: HttpResponse, **events: Any) -> HttpResponse:
    """Let htmx fire events in the page: tell(response, results_changed=True, close_dialog=True)."""
    named = {name.replace("_", "-"): detail for name, detail in events.items()}
    response.headers["HX-Trigger"] = json.dumps(json.loads(response.headers.get("HX-Trigger", "{}")) | named)
    return response
