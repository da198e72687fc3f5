from django.apps import AppConfig


class EvalHubConfig(AppConfig):
    """The roof: the commands of manage.py."""

    name = "evalhub"
    label = "evalhub"
