"""Sessions and their users as Django keeps them, read with queries that are written once: every page asks them."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib.auth.backends import ModelBackend
from django.contrib.sessions.backends import db
from django.contrib.sessions.models import Session
from django.db.models.functions import Now

from evalhub.accounts.models import User
from evalhub.accounts.tenancy import parse_uuid
from evalhub.database.prepared import Prepared

_SESSION = Prepared(lambda key: Session.objects.filter(session_key=key, expire_date__gt=Now()), str)
_USER = Prepared(lambda pk: User.objects.filter(pk=pk), UUID)


class SessionStore(db.SessionStore):
    def _get_session_from_db(self) -> Session | None:
        found = _SESSION(self.session_key)
        if not found:
            self._session_key = None
        return found[0] if found else None


class Backend(ModelBackend):
    def get_user(self, user_id: Any) -> User | None:
        found = _USER(parse_uuid(str(user_id)))
        return found[0] if found and self.user_can_authenticate(found[0]) else None
