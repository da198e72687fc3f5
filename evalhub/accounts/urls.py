from django.urls import path

from evalhub.accounts import views

app_name = "accounts"

urlpatterns = [
    path("login/", views.login, name="login"),
    path("logout/", views.logout, name="logout"),
    path("password/", views.password, name="password"),
    path("profile/", views.profile, name="profile"),
    path("organization/", views.switch, name="switch"),
    path("organization/edit/", views.organization_edit, name="organization-edit"),
    path("members/", views.member_list, name="member-list"),
    path("members/<uuid:membership_id>/role/", views.member_role, name="member-role"),
    path("members/<uuid:membership_id>/removal/", views.member_removal, name="member-removal"),
    path("members/invitations/", views.invitation_create, name="invitation-create"),
    path(
        "members/invitations/<uuid:invitation_id>/withdrawal/",
        views.invitation_withdrawal,
        name="invitation-withdrawal",
    ),
    path("invitations/<str:secret>/", views.invitation_accept, name="invitation-accept"),
    path("tokens/", views.token_list, name="token-list"),
    path("tokens/<uuid:token_id>/revocation/", views.token_revocation, name="token-revocation"),
    path("audit/", views.audit_list, name="audit-list"),
]
