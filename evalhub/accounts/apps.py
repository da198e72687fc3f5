from django.apps import AppConfig
from django.contrib.admin import apps as admin


class AccountsConfig(AppConfig):
    default = True
    name = "evalhub.accounts"
    label = "accounts"


class ConsoleConfig(admin.AdminConfig):
    """Django's admin, with the operators' console as its site."""

    default = False
    default_site = "evalhub.accounts.console.Console"
