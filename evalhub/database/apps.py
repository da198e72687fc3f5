import atexit

from django.apps import AppConfig

from evalhub.database.pooling import close_pools


class DatabaseConfig(AppConfig):
    name = "evalhub.database"
    label = "database"

    def ready(self) -> None:
        from evalhub.database import lookups  # noqa: F401 - registers them

        atexit.register(close_pools)
