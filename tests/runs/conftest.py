"""People who are signed in."""

import pytest
from django.test import Client

from evalhub.accounts.rights import Role
from tests.factories import make_actor


@pytest.fixture
def lead():
    return make_actor(role=Role.LEAD)


@pytest.fixture
def as_lead(lead):
    """A browser in which the lead is signed in."""
    return signed_in(lead)


def signed_in(actor):
    client = Client()
    client.force_login(actor.user)
    return client
