"""Django's PostgreSQL backend, that starts EvalHub's own server before the first connection where there is no other."""

from typing import Any

from django.conf import settings
from django.db import OperationalError
from django.db.backends.postgresql import base

from evalhub.database.postgres import PostgresError, Server


class DatabaseWrapper(base.DatabaseWrapper):
    def get_connection_params(self) -> dict[str, Any]:
        if settings.EMBEDDED_POSTGRES is not None:
            try:
                Server.at(**settings.EMBEDDED_POSTGRES).join()
            except PostgresError as reason:
                raise OperationalError(str(reason)) from reason
        return super().get_connection_params()
