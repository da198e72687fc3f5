"""People, organisations and keys in the operators' console."""

from __future__ import annotations

from typing import Any, ClassVar

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.models import LogEntry
from django.contrib.admin.options import ActionLocation
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.forms import AdminUserCreationForm
from django.contrib.auth.models import Group
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html

from evalhub.accounts.console import ConsoleAdmin, ConsoleForm, EvidenceAdmin
from evalhub.accounts.members import LastAdmin, change_role, is_last_admin, join, pass_on_work_of, remove_member
from evalhub.accounts.models import ApiToken, Invitation, LoginAttempt, Membership, Organization, User
from evalhub.accounts.rights import Role
from evalhub.audit.models import record_event

admin.site.unregister(Group)  # rights come with memberships; groups would promise what nobody reads


class NewUserForm(AdminUserCreationForm):
    class Meta:
        model = User
        fields = ("email", "name")

    def clean_email(self) -> str:
        return str(self.cleaned_data["email"]).lower()


class UserForm(ConsoleForm):
    def clean_email(self) -> str:
        return str(self.cleaned_data["email"]).lower()


@admin.register(User)
class UserAdmin(ConsoleAdmin, DjangoUserAdmin):
    form = UserForm
    add_form = NewUserForm
    list_display = ("email", "name", "is_active", "is_superuser", "last_login", "created_at")
    list_filter = ("is_active", "is_superuser", "theme")
    search_fields = ("email__startswith", "id__exact")
    search_help_text = "The beginning of an e-mail address, or an id."
    sortable_by = ("email",)
    ordering = ("-pk",)
    filter_horizontal = ()
    frozen = ("last_login", "password", "is_staff")
    readonly_fields = ("password_page",)
    deletable = False  # their reviews stay theirs; who is not active cannot sign in, and their tokens are refused
    actions = ("deactivate", "activate")
    add_fieldsets = ((None, {"fields": ("email", "name", "usable_password", "password1", "password2")}),)

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        unused = ("password", "is_staff", "groups", "user_permissions")
        return [name for name in super().get_fields(request, obj) if name not in unused]

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        return ConsoleAdmin.get_fieldsets(self, request, obj) if obj else self.add_fieldsets

    def get_search_results(self, request: HttpRequest, queryset: Any, search_term: str) -> tuple[Any, bool]:
        return super().get_search_results(request, queryset, search_term.lower())

    def save_model(self, request: HttpRequest, obj: User, form: Any, change: bool) -> None:
        obj.is_staff = obj.is_superuser  # one word for operators: the console is for superusers
        super().save_model(request, obj, form, change)
        if change and "is_active" in form.changed_data and not obj.is_active:
            pass_on_work_of(obj)

    @admin.display(description="password")
    def password_page(self, obj: User) -> str:
        address = reverse("admin:auth_user_password_change", args=[obj.pk])
        return format_html(
            '<a href="{}">{} the password</a>', address, "Change" if obj.has_usable_password() else "Set"
        )

    def user_change_password(self, request: HttpRequest, id: str, form_url: str = "") -> Any:
        user = self.get_object(request, id)
        before = user.password if user else ""
        response = super().user_change_password(request, id, form_url)
        if user and User.objects.values_list("password", flat=True).get(pk=user.pk) != before:
            record_event("password.reset", user, by=None, user_id=request.user.pk)
        return response

    @admin.action(description="Deactivate the selected users", permissions=["change"])
    def deactivate(self, request: HttpRequest, queryset: Any) -> None:
        self._switch(request, queryset.exclude(pk=request.user.pk), active=False)

    @admin.action(description="Activate the selected users", permissions=["change"])
    def activate(self, request: HttpRequest, queryset: Any) -> None:
        self._switch(request, queryset, active=True)

    def _switch(self, request: HttpRequest, queryset: Any, *, active: bool) -> None:
        users = list(queryset.exclude(is_active=active))
        for user in users:
            user.is_active = active
            user.save(update_fields=["is_active", "updated_at"])
            if not active:
                pass_on_work_of(user)
            self._record("activated" if active else "deactivated", request, user)
        self.message_user(request, f"{len(users)} {'activated' if active else 'deactivated'}.")


@admin.register(Organization)
class OrganizationAdmin(ConsoleAdmin):
    list_display = ("name", "slug", "created_at")
    list_filter = ("created_at",)
    search_fields = ("slug__startswith", "id__exact")
    search_help_text = "The beginning of a short name, or an id."
    prepopulated_fields: ClassVar[Any] = {"slug": ("name",)}
    sortable_by = ("slug",)
    deletable = False  # everything would go with it, row by row, while the operator waits

    def get_prepopulated_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return {} if obj else self.prepopulated_fields


class MembershipForm(ConsoleForm):
    def clean(self) -> dict[str, Any]:
        cleaned = forms.ModelForm.clean(self) or self.cleaned_data
        now = Membership.objects.filter(pk=self.instance.pk).first()
        if now and cleaned.get("role") != Role.ADMIN and is_last_admin(now):
            self.add_error("role", str(LastAdmin(now.organization)))
        return cleaned


@admin.register(Membership)
class MembershipAdmin(ConsoleAdmin):
    form = MembershipForm
    list_display = ("user", "organization", "role", "created_at")
    list_filter = ("role",)
    search_fields = ("user__email__startswith", "id__exact")
    search_help_text = "The beginning of an e-mail address, or an id."
    autocomplete_fields = ("user", "organization")
    settled = ("organization", "user")

    def get_actions(self, request: HttpRequest, action_location: Any = ActionLocation.CHANGE_LIST) -> Any:
        actions = super().get_actions(request, action_location=action_location)
        actions.pop("delete_selected", None)  # one by one: each may be an organisation's last admin
        return actions

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_delete_permission(request, obj) and not (obj and is_last_admin(obj))

    def save_model(self, request: HttpRequest, obj: Membership, form: Any, change: bool) -> None:
        if not change:
            made, _ = join(obj.organization, obj.user, obj.role, user_id=request.user.pk)
            obj.pk, obj._state.adding = made.pk, False
            return
        try:
            change_role(obj, obj.role, by=None, user_id=request.user.pk)
        except LastAdmin as refusal:
            self.message_user(request, str(refusal), messages.ERROR)

    def delete_model(self, request: HttpRequest, obj: Membership) -> None:
        remove_member(obj, by=None, user_id=request.user.pk)


@admin.register(Invitation)
class InvitationAdmin(EvidenceAdmin):
    """Made on the members page or by `manage.py create_organization`: their links are shown there only."""

    list_display = ("email", "organization", "role", "expires_at", "accepted_at")
    list_filter = ("role",)
    search_fields = ("id__exact", "digest__exact")
    exclude = ("digest",)
    deletable = True


@admin.register(ApiToken)
class ApiTokenAdmin(EvidenceAdmin):
    list_display = ("name", "prefix", "organization", "user", "expires_at", "last_used_at", "revoked_at")
    search_fields = ("id__exact", "user__email__exact")
    search_help_text = "The e-mail address of the token's user, or an id."
    exclude = ("digest",)
    open_fields = ("name",)
    actions = ("revoke",)

    @admin.action(description="Revoke the selected tokens", permissions=["change"])
    def revoke(self, request: HttpRequest, queryset: Any) -> None:
        tokens = list(queryset.filter(revoked_at__isnull=True))
        for token in tokens:
            token.revoke()
            record_event(
                "token.revoked", token, by=None, organization_id=token.organization_id, user_id=request.user.pk
            )
        self.message_user(request, f"{len(tokens)} revoked.")


@admin.register(LoginAttempt)
class LoginAttemptAdmin(EvidenceAdmin):
    """Deleting the tries of an address lets it try again at once."""

    list_display = ("address", "at")
    list_filter = ("at",)
    search_fields = ("address__exact",)
    search_help_text = "The whole address."
    deletable = True


@admin.register(LogEntry)
class LogEntryAdmin(EvidenceAdmin):
    """What was done in this console."""

    list_display = ("action_time", "user", "content_type", "object_repr", "action_flag")
    list_filter = ("action_flag",)
    search_fields = ("object_id__exact",)
    list_loads = ("change_message", "object_id")
