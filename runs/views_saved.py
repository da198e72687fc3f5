"""Saved views: kept, shared, deleted; read by the lists that they belong to."""

from __future__ import annotations

from uuid import UUID

from django.http import Http404, HttpResponse
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from evalhub.accounts.access import requires
from evalhub.accounts.actor import MemberRequest
from evalhub.web.context import address
from evalhub.web.pages import back_to, go_to, render_page, say
from evalhub.web.parts import Link
from runs.forms import SavedViewForm
from runs.models import SavedView
from runs.saved_views import delete_view, rename_view, save_view, share_view, views_for
from runs.views_setup import page_of

PAGES = {SavedView.Page.RUNS: "runs:run-list", SavedView.Page.RESULTS: "results:result-list"}
VIEWS = Link("Saved views", "/views/")


def address_of_view(view: SavedView) -> str:
    """The list as the view shows it."""
    place = address(PAGES[SavedView.Page(view.page)]) or reverse("runs:view-list")
    return f"{place}?{view.query}"


@requires("read")
@require_safe
def view_list(request: MemberRequest) -> HttpResponse:
    views = [
        (view, address_of_view(view), view.user_id == request.actor.user.pk) for view in views_for(request.actor)[:500]
    ]
    context = page_of(request, views=views, may_save=request.actor.may("save_view"))
    return render_page(request, "runs/view_list.html", context)


@requires("save_view")
@require_http_methods(["GET", "HEAD", "POST"])
def view_create(request: MemberRequest) -> HttpResponse:
    """Keep what a list shows: as a dialog over it, or as a page."""
    asked = {name: request.GET[name] for name in ("page", "query") if name in request.GET}
    form = SavedViewForm(request.POST if request.method == "POST" else None, initial=asked, label_suffix="")
    if request.method == "POST" and form.is_valid():
        view, made = save_view(by=request.actor, **form.cleaned_data)
        shared = " Your colleagues see it too." if view.shared else ""
        say(request, f"{'Saved' if made else 'Replaced'} the view “{view}”.{shared}")
        return go_to(request, address_of_view(view))
    context = page_of(request, form=form, cancel_url=reverse("runs:view-list"), crumbs=[VIEWS])
    return render_page(request, "runs/view_form.html", context, fragment="dialog", status=422 if form.errors else 200)


@requires("save_view")
@require_http_methods(["GET", "HEAD", "POST"])
def view_edit(request: MemberRequest, view_id: UUID) -> HttpResponse:
    """Another name, or another audience; what it shows is saved anew from the list."""
    view = own_view(request, view_id)
    kept = {"page": view.page, "query": view.query}
    given = {**request.POST.dict(), **kept} if request.method == "POST" else None
    form = SavedViewForm(given, initial={**kept, "name": view.name, "shared": view.shared}, label_suffix="")
    if form.is_bound and form.is_valid():
        name, shared = form.cleaned_data["name"], form.cleaned_data["shared"]
        if rename_view(view, by=request.actor, name=name, shared=shared):
            say(request, f"Saved the view “{view}”.")
            return go_to(request, "runs:view-list")
        form.add_error("name", "You have a view of this name.")
    context = page_of(request, form=form, view=view, cancel_url=reverse("runs:view-list"), crumbs=[VIEWS])
    return render_page(request, "runs/view_form.html", context, fragment="dialog", status=422 if form.errors else 200)


@requires("save_view")
@require_POST
def view_share(request: MemberRequest, view_id: UUID) -> HttpResponse:
    view = own_view(request, view_id)
    shared = request.POST.get("shared") == "true"
    share_view(view, shared, by=request.actor)
    say(request, f"“{view}” is {'shared with your organisation' if shared else 'yours alone'} now.")
    return go_to(request, back_to(request, "runs:view-list"))


@requires("save_view")
@require_POST
def view_delete(request: MemberRequest, view_id: UUID) -> HttpResponse:
    view = own_view(request, view_id)
    delete_view(view, by=request.actor)
    say(request, f"Deleted the view “{view}”.")
    return go_to(request, back_to(request, "runs:view-list"))


def own_view(request: MemberRequest, view_id: UUID) -> SavedView:
    """A view of the actor's own; a colleague's is nobody else's to change."""
    views = SavedView.objects.visible_to(request.actor).filter(user=request.actor.user)
    view = views.filter(pk=view_id).first()
    if view is None:
        raise Http404
    return view
