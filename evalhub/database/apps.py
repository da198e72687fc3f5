from django.apps import AppConfig


class DatabaseConfig(AppConfig):
    name = "evalhub.database"
    label = "database"
