"""Signing in, one's own settings, and the pages of an organisation's admins."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.contrib.auth import update_session_auth_hash
from django.db import IntegrityError
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from evalhub.accounts.access import public, requires, signed_in
from evalhub.accounts.actor import ActorRequest, MemberRequest
from evalhub.accounts.forms import (
    InvitationForm,
    LoginForm,
    NewMemberForm,
    OrganizationForm,
    PasswordForm,
    ProfileForm,
    RoleForm,
    TokenForm,
)
from evalhub.accounts.invitations import InvitationGone, accept, find_invitation, invite, open_invitations, withdraw
from evalhub.accounts.members import LastAdmin, change_role, remove_member, rename
from evalhub.accounts.models import ApiToken, Invitation, Membership, Organization, User
from evalhub.accounts.rights import Role
from evalhub.accounts.sessions import (
    WrongPassword,
    choose_organization,
    find_user,
    open_session,
    record_for,
    sign_in,
    sign_out,
)
from evalhub.accounts.tenancy import parse_uuid
from evalhub.accounts.throttling import TooManyAttempts, begin_attempt, forgive
from evalhub.audit.models import record_event
from evalhub.audit.reading import entries, events_of, kind_links
from evalhub.web.pages import back_to, go_to, is_here, render_page, say, wants_fragment
from evalhub.web.paging import Order, read_page
from evalhub.web.parts import Link

# --- the session ------------------------------------------------------------------------------------------------------


@public
@sensitive_post_parameters("password")
@require_http_methods(["GET", "HEAD", "POST"])
def login(request: HttpRequest) -> HttpResponse:
    if request.user.is_authenticated:
        return go_to(request, after_login(request))
    form, status, wait = LoginForm(request.POST or None), 200, 0
    if request.method == "POST":
        status = 422
        if form.is_valid():
            email, password, remember = (form.cleaned_data[name] for name in ("email", "password", "remember"))
            try:
                sign_in(request, email, password, remember=remember)
            except WrongPassword as refusal:
                form.add_error("password", str(refusal))
            except TooManyAttempts as refusal:
                form.add_error(None, str(refusal))
                status, wait = 429, refusal.seconds
            else:
                return go_to(request, after_login(request))
    wanted = request.POST.get("next") or request.GET.get("next") or ""
    context = {"form": form, "next": wanted if is_here(request, wanted) else ""}
    response = render_page(request, "accounts/login.html", context, status=status)
    if wait:
        response["Retry-After"] = str(wait)
    return response


def after_login(request: HttpRequest) -> str:
    """Where they wanted to go; operators who belong nowhere go to the console."""
    user = request.user
    is_guest = isinstance(user, User) and user.is_superuser and not user.memberships.exists()
    return back_to(request, "admin:index" if is_guest else "/")


@public
@require_POST
def logout(request: HttpRequest) -> HttpResponse:
    """Out; ``next`` is for those who come back as somebody else, by an invitation."""
    target = back_to(request, "accounts:login")
    sign_out(request)
    return redirect(target)


@signed_in
@sensitive_post_parameters("old_password", "new_password1", "new_password2")
def password(request: HttpRequest) -> HttpResponse:
    """A new password ends every other session: their cookies are bound to the old one."""
    user = current_user(request)
    form = PasswordForm(user, request.POST or None)
    status = 200
    if request.method == "POST":
        status = 422
        try:
            begin_attempt(user.email, request)  # a stolen session is no place to guess from either
        except TooManyAttempts as refusal:
            form.errors.clear()
            form.add_error(None, str(refusal))
            status = 429
        else:
            if not form.errors.get("old_password"):
                forgive(user.email, request)
            if form.is_valid():
                form.save()
                update_session_auth_hash(request, user)
                record_for(user, "password.changed", request, by_themselves=True)
                say(request, "Password changed. You are signed out everywhere else.")
                return redirect("accounts:profile")
    return render_page(request, "accounts/password.html", {"form": form}, status=status)


@signed_in
def profile(request: ActorRequest) -> HttpResponse:
    # A copy: what is typed, right or wrong, must not show up in the page around the form.
    form = ProfileForm(request.POST or None, instance=User.objects.get(pk=current_user(request).pk))
    if request.method == "POST" and form.is_valid():
        form.save()
        say(request, "Saved.")
        return redirect("accounts:profile")
    context = {"form": form, "memberships": request.memberships}
    return render_page(request, "accounts/profile.html", context, status=422 if form.errors else 200)


@signed_in
@require_POST
def switch(request: ActorRequest) -> HttpResponse:
    """Another of one's organisations becomes the current one; what is open belongs to the old one, so start anew.

    ``next`` is for those who found nothing at an address, and look for it in another one.
    """
    chosen = parse_uuid(request.POST.get("organization", ""))
    membership = next((one for one in request.memberships if one.organization_id == chosen), None)
    if membership is None:
        raise Http404
    choose_organization(request, membership)
    return redirect(back_to(request, "/"))


@requires("manage_organization")
@require_http_methods(["GET", "HEAD", "POST"])
def organization_edit(request: MemberRequest) -> HttpResponse:
    """Another name; the slug stays, since tokens, imports and links may say it."""
    organization = request.actor.organization
    form = OrganizationForm(request.POST or None, instance=Organization.objects.get(pk=organization.pk))
    if request.method == "POST" and form.is_valid():
        rename(organization, form.cleaned_data["name"], by=request.actor)
        say(request, f"The organisation is called {organization} now.")
        return go_to(request, "accounts:member-list")
    crumbs = [Link("Members", reverse("accounts:member-list")), Link("Rename")]
    context = {"form": form, "dialog": wants_fragment(request), "crumbs": crumbs}
    status = 422 if form.errors else 200
    return render_page(request, "accounts/organization_edit.html", context, fragment="dialog", status=status)


# --- members ----------------------------------------------------------------------------------------------------------


@requires("manage_members")
@require_safe
def member_list(request: MemberRequest) -> HttpResponse:
    return members_page(request, InvitationForm(organization=request.actor.organization))


def members_page(
    request: MemberRequest,
    form: InvitationForm,
    *,
    link: str = "",
    invitation: Invitation | None = None,
    status: int = 200,
) -> HttpResponse:
    context = {
        "page": read_page(memberships_in(request), Order("user__email"), request.GET.get("cursor"), size=100),
        "roles": Role.choices,
        "invitations": open_invitations(request.actor.organization).select_related("invited_by").order_by("-id"),
        "form": form,
        "link": link,
        "invitation": invitation,
    }
    return render_page(request, "accounts/member_list.html", context, status=status)


@requires("manage_members")
@require_POST
def member_role(request: MemberRequest, membership_id: UUID) -> HttpResponse:
    membership = get_object_or_404(memberships_in(request), pk=membership_id)
    form = RoleForm(request.POST)
    if not form.is_valid():
        say(request, "This role does not exist.", level=messages.ERROR)
        return redirect("accounts:member-list")
    role = Role(form.cleaned_data["role"])
    try:
        change_role(membership, role, by=request.actor)
    except LastAdmin as refusal:
        say(request, str(refusal), level=messages.ERROR)
    else:
        say(request, f"{membership.user} is now {role.label.lower()}.")
    return redirect("accounts:member-list")


@requires("manage_members")
@require_http_methods(["GET", "HEAD", "POST"])
def member_removal(request: MemberRequest, membership_id: UUID) -> HttpResponse:
    membership = get_object_or_404(memberships_in(request), pk=membership_id)
    if request.method != "POST":
        return render_page(request, "accounts/member_removal.html", {"membership": membership}, fragment="dialog")
    try:
        remove_member(membership, by=request.actor)
    except LastAdmin as refusal:
        say(request, str(refusal), level=messages.ERROR)
        return go_to(request, "accounts:member-list")
    if membership.user_id == request.user.pk:
        return go_to(request, "/")
    say(request, f"{membership.user} is no longer a member.")
    return go_to(request, "accounts:member-list")


# --- invitations ------------------------------------------------------------------------------------------------------


@requires("manage_members")
@require_POST
def invitation_create(request: MemberRequest) -> HttpResponse:
    """The answer to the form shows the link: it is kept nowhere, so no later page could."""
    organization = request.actor.organization
    form = InvitationForm(request.POST, organization=organization)
    if not form.is_valid():
        return members_page(request, form, status=422)
    invitation, secret = invite(organization, **form.cleaned_data, by=request.actor)
    link = request.build_absolute_uri(reverse("accounts:invitation-accept", args=[secret]))
    fresh = InvitationForm(organization=organization)
    return members_page(request, fresh, link=link, invitation=invitation, status=201)


@requires("manage_members")
@require_POST
def invitation_withdrawal(request: MemberRequest, invitation_id: UUID) -> HttpResponse:
    mine = Invitation.objects.visible_to(request.actor).filter(accepted_at__isnull=True)
    invitation = get_object_or_404(mine, pk=invitation_id)
    withdraw(invitation, by=request.actor)
    say(request, f"The invitation of {invitation.email} no longer works.")
    return redirect("accounts:member-list")


@public
@sensitive_post_parameters("new_password1", "new_password2")
@require_http_methods(["GET", "HEAD", "POST"])
def invitation_accept(request: HttpRequest, secret: str) -> HttpResponse:
    invitation = find_invitation(secret)
    if invitation is None:
        return invitation_gone(request, "unknown", 404)
    if invitation.accepted_at is not None:
        return invitation_gone(request, "used", 410)
    if invitation.is_expired:
        return invitation_gone(request, "expired", 410)
    context: dict[str, Any] = {"invitation": invitation, "next": request.path}
    if request.user.is_authenticated:
        user = current_user(request)
        if request.method == "POST":
            return joined(request, invitation, user)
        context["is_member"] = user.memberships.filter(organization_id=invitation.organization_id).exists()
        return render_page(request, "accounts/invitation_join.html", context)
    if find_user(invitation.email) is not None:
        return render_page(request, "accounts/invitation_login.html", context)
    user = User(email=invitation.email)
    form = NewMemberForm(user, request.POST or None)
    if request.method == "POST" and form.is_valid():
        return joined(request, invitation, user, form)
    context["form"] = form
    return render_page(request, "accounts/invitation_new.html", context, status=422 if form.errors else 200)


def joined(request: HttpRequest, invitation: Invitation, user: User, form: NewMemberForm | None = None) -> HttpResponse:
    try:
        membership = accept(invitation, user, save=form.save if form else None)
    except InvitationGone:
        return invitation_gone(request, "used", 410)
    except IntegrityError:
        return redirect(request.path)  # another invitation made this person meanwhile: now they sign in
    if form is not None:
        open_session(request, user)
    choose_organization(request, membership)
    say(request, f"Welcome to {membership.organization}.")
    return redirect("/")


def invitation_gone(request: HttpRequest, why: str, status: int) -> HttpResponse:
    return render_page(request, "accounts/invitation_gone.html", {"why": why}, status=status)


# --- tokens -----------------------------------------------------------------------------------------------------------


@requires("manage_tokens")
@sensitive_post_parameters()
@require_http_methods(["GET", "HEAD", "POST"])
def token_list(request: MemberRequest) -> HttpResponse:
    """The list, and the form of a new token; the answer to the form is the only page that ever shows the secret."""
    form, secret, token, status = TokenForm(request.POST or None), "", None, 200
    if request.method == "POST":
        status = 422
        if form.is_valid():
            token, secret = ApiToken.issue(
                user=request.actor.user,
                organization=request.actor.organization,
                name=form.cleaned_data["name"],
                scopes=form.cleaned_data["scopes"],
                expires_at=form.expires_at,
            )
            record_event("token.made", token, by=request.actor, scopes=token.scopes)
            form, status = TokenForm(), 201
    tokens = ApiToken.objects.visible_to(request.actor).select_related("user")
    page = read_page(tokens, Order("-id"), request.GET.get("cursor"), size=100)
    context = {"page": page, "form": form, "secret": secret, "token": token}
    return render_page(request, "accounts/token_list.html", context, status=status)


@requires("manage_tokens")
@require_POST
def token_revocation(request: MemberRequest, token_id: UUID) -> HttpResponse:
    token = get_object_or_404(ApiToken.objects.visible_to(request.actor), pk=token_id)
    if token.revoked_at is None:
        token.revoke()
        record_event("token.revoked", token, by=request.actor)
    say(request, f"{token.name} no longer works.")
    return redirect("accounts:token-list")


# --- audit trail ------------------------------------------------------------------------------------------------------


@requires("read_audit")
@require_safe
def audit_list(request: MemberRequest) -> HttpResponse:
    kind = request.GET.get("kind", "")
    page = read_page(events_of(request.actor, kind), Order("-id"), request.GET.get("cursor"), size=50)
    context = {"page": page, "entries": entries(page.rows), "kinds": kind_links(kind)}
    return render_page(request, "accounts/audit_list.html", context)


# --- who is asking ----------------------------------------------------------------------------------------------------


def current_user(request: HttpRequest) -> User:
    """The signed-in person; only behind a door that asks for one."""
    user = request.user
    assert isinstance(user, User)
    return user


def memberships_in(request: MemberRequest) -> Any:
    """The members of the current organisation."""
    return Membership.objects.filter(organization=request.actor.organization).select_related("user", "organization")
