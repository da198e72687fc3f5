"""What people are asked on the pages of this room."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django import forms
from django.contrib.auth.forms import PasswordChangeForm, SetPasswordForm
from django.utils import timezone

from evalhub.accounts.invitations import DAYS
from evalhub.accounts.models import Membership, Organization, User
from evalhub.accounts.rights import Role, Scope

LONGEST_PASSWORD = 1_000


class LoginForm(forms.Form):
    email = forms.EmailField(
        label="E-mail",
        max_length=254,
        error_messages={"invalid": "This is not an e-mail address."},
        widget=forms.EmailInput(attrs={"autocomplete": "username"}),
    )
    password = forms.CharField(
        strip=False,
        max_length=LONGEST_PASSWORD,
        widget=forms.PasswordInput(attrs={"autocomplete": "current-password"}),
    )
    remember = forms.BooleanField(label="Stay signed in on this computer", required=False)


class ProfileForm(forms.ModelForm):
    class Meta:
        model = User
        fields = ("name", "theme", "shortcuts")
        widgets = {
            "name": forms.TextInput(attrs={"autocomplete": "name"}),
            "theme": forms.Select(attrs={"data-theme-choice": True}),
        }
        labels = {"shortcuts": "Keyboard shortcuts"}
        help_texts = {
            "name": "Shown beside your reviews and comments.",
            "shortcuts": "Single keys such as j, k and p. Ctrl ↵ always works.",
        }


class OrganizationForm(forms.ModelForm):
    class Meta:
        model = Organization
        fields = ("name",)
        widgets = {"name": forms.TextInput(attrs={"autocomplete": "organization", "autofocus": True})}
        help_texts = {"name": "Everybody in it sees it at once. Addresses and tokens stay as they are."}


class RoleForm(forms.Form):
    role = forms.ChoiceField(choices=Role.choices)


class InvitationForm(forms.Form):
    email = forms.EmailField(
        label="E-mail",
        max_length=254,
        error_messages={"invalid": "This is not an e-mail address."},
        widget=forms.EmailInput(attrs={"autocomplete": "off"}),
    )
    role = forms.ChoiceField(choices=Role.choices, initial=Role.REVIEWER)
    days = forms.TypedChoiceField(
        label="Valid for",
        choices=[(1, "1 day"), (DAYS, "7 days"), (30, "30 days")],
        coerce=int,
        initial=DAYS,
    )

    def __init__(self, *args: Any, organization: Organization, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.organization = organization

    def clean_email(self) -> str:
        email = str(self.cleaned_data["email"]).lower()
        if Membership.objects.filter(organization=self.organization, user__email=email).exists():
            raise forms.ValidationError("This person is a member already.")
        return email


class NewPasswordForm(SetPasswordForm):
    """Django's, whose complaints stand at the field that they are about."""

    error_messages = {"password_mismatch": "The two passwords differ."}

    def __init__(self, user: User, *args: Any, **kwargs: Any) -> None:
        super().__init__(user, *args, **kwargs)
        self.fields["new_password1"].help_text = "At least 10 characters; not a common one, and not your name."
        self.fields["new_password2"].help_text = ""

    def validate_password_for_user(self, user: User, password_field_name: str = "") -> None:
        super().validate_password_for_user(user, "new_password1")


class PasswordForm(NewPasswordForm, PasswordChangeForm):
    """Another password, by the one who knows the old one."""

    error_messages = {**NewPasswordForm.error_messages, "password_incorrect": "This is not your current password."}

    def __init__(self, user: User, *args: Any, **kwargs: Any) -> None:
        super().__init__(user, *args, **kwargs)
        self.fields["old_password"].label = "Current password"
        self.fields["new_password2"].label = "New password again"


class NewMemberForm(NewPasswordForm):
    """Name and password of somebody who comes by invitation."""

    name = forms.CharField(
        label="Your name", max_length=150, widget=forms.TextInput(attrs={"autocomplete": "name"}), min_length=1
    )
    field_order = ("name", "new_password1", "new_password2")

    def __init__(self, user: User, *args: Any, **kwargs: Any) -> None:
        super().__init__(user, *args, **kwargs)
        self.fields["new_password1"].label = "Password"
        self.fields["new_password2"].label = "Password again"

    def clean_name(self) -> str:
        self.user.name = str(self.cleaned_data["name"])  # a password that is like it will be refused
        return self.user.name


class TokenForm(forms.Form):
    EXPIRIES = (("7", "7 days"), ("30", "30 days"), ("90", "90 days"), ("365", "1 year"), ("never", "Never"))

    name = forms.CharField(
        max_length=100,
        help_text="What uses it: “CI of the support bot”.",
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
    )
    scopes = forms.MultipleChoiceField(
        label="May",
        choices=Scope.choices,
        widget=forms.CheckboxSelectMultiple,
        initial=[Scope.READ],
        error_messages={"required": "Choose at least one."},
    )
    expires = forms.ChoiceField(label="Expires after", choices=EXPIRIES, initial="90")

    @property
    def expires_at(self) -> datetime | None:
        days = self.cleaned_data["expires"]
        return None if days == "never" else timezone.now() + timedelta(days=int(days))
