from django.apps import AppConfig


class ImportersConfig(AppConfig):
    name = "evalhub.importers"
    label = "importers"
