import atexit

from django.apps import AppConfig
from django.db import connections


class DatabaseConfig(AppConfig):
    name = "evalhub.database"
    label = "database"

    def ready(self) -> None:
        from evalhub.database import lookups  # noqa: F401 - registers them

        atexit.register(close_pools)


def close_pools() -> None:
    """While threads still run: left to the interpreter's last moments, each pool waits 5 seconds for its own."""
    for connection in connections.all(initialized_only=True):
        connection.close()
        for pool in list(getattr(connection, "_connection_pools", {}).values()):  # close_pool() would make one first
            pool.close()
